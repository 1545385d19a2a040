import pickle
from importlib.metadata import EntryPoint

import pytest

from orchestrator_core import handlers
from orchestrator_core.attempts import ResultFile
from orchestrator_core.errors import HandlerSetupError
from orchestrator_core.handlers import (
    HandlerGroup,
    Payload,
    RetryLaterError,
    TaskContext,
    discover_handlers,
)

A_FILE = ResultFile(content=b"", content_type="text/plain", file_name="a.txt")

first, second, broken = HandlerGroup(), HandlerGroup(), "no group"


@first.register("one", "two", payload=Payload, timeout_seconds=7)
def run(_payload: Payload, _context: TaskContext) -> ResultFile:
    return A_FILE


@second.register("two", payload=Payload)
async def run_async(_payload: Payload, _context: TaskContext) -> ResultFile:
    return A_FILE


def install(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    def entry_points(*, group: str) -> list[EntryPoint]:
        return [EntryPoint(name, f"{__name__}:{name}", group) for name in names]

    monkeypatch.setattr(handlers, "entry_points", entry_points)


def test_a_function_may_serve_several_types() -> None:
    served = {each.task_type: each for each in first}

    assert set(served) == {"one", "two"}
    assert served["one"].run is run
    assert served["one"].timeout_seconds == 7


def test_async_handlers_run_on_the_event_loop_and_plain_ones_in_processes() -> None:
    assert [each.is_async for each in (*first, *second)] == [False, False, True]


def test_installed_groups_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, "first")

    assert set(discover_handlers()) == {"one", "two"}


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (("first", "second"), "'two' is defined twice"),
        (("broken",), "is no HandlerGroup"),
        (("absent",), "can't import"),
    ],
)
def test_a_worker_does_not_start_with_half_of_its_types(
    monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...], reason: str
) -> None:
    install(monkeypatch, *names)

    with pytest.raises(HandlerSetupError, match=reason):
        discover_handlers()


def test_asking_for_a_retry_survives_the_way_from_a_child_process() -> None:
    asked = pickle.loads(pickle.dumps(RetryLaterError("busy", delay_seconds=3)))  # noqa: S301 - our own

    assert (asked.message, asked.delay_seconds) == ("busy", 3)


def test_unknown_fields_of_a_payload_are_refused() -> None:
    with pytest.raises(ValueError, match="extra_forbidden"):
        Payload.model_validate({"wdith": 3})
