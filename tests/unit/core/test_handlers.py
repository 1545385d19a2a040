import pickle
import threading
from importlib.metadata import EntryPoint
from typing import Any

import pytest
import structlog

from orchestrator_core import handlers
from orchestrator_core.attempts import ProgressReport, ResultFile
from orchestrator_core.errors import HandlerSetupError
from orchestrator_core.handlers import (
    HandlerGroup,
    Payload,
    RetryLaterError,
    TaskContext,
    discover_handlers,
)
from orchestrator_core.testing import a_context

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
        (("first", "second"), "'two' is defined twice, by .*:first and by .*:second"),
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


def test_one_package_may_not_define_a_type_twice_either(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.first", HandlerGroup(_handlers=[*first, *first]))
    install(monkeypatch, "first")

    with pytest.raises(HandlerSetupError, match="'one' is defined twice"):
        discover_handlers()


@pytest.mark.parametrize(
    ("task_types", "limits", "reason"),
    [
        ((), {}, "name at least one task type"),
        (("",), {}, "1 to 128 printable characters"),
        (("x" * 129,), {}, "1 to 128 printable characters"),
        (("a\0b",), {}, "1 to 128 printable characters"),
        (("a",), {"timeout_seconds": 0}, "timeout_seconds is 0, expected 1 or more"),
        (("a",), {"max_attempts": 0}, "max_attempts is 0, expected 1 or more"),
        (("a",), {"memory_bytes": -1}, "memory_bytes is -1, expected 1 or more"),
    ],
)
def test_what_no_store_would_take_is_refused_where_it_is_written(
    task_types: tuple[str, ...], limits: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        HandlerGroup().register(*task_types, payload=Payload, **limits)


def test_a_package_that_ends_the_process_at_import_only_stops_the_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def load(_: EntryPoint) -> object:
        raise SystemExit("no licence")

    monkeypatch.setattr(EntryPoint, "load", load)
    install(monkeypatch, "first")

    with pytest.raises(HandlerSetupError, match="no licence"):
        discover_handlers()


def test_a_report_reaches_who_listens_as_postgres_can_keep_it() -> None:
    heard: list[ProgressReport] = []

    a_context(reporter=heard.append).report(1.5, "a\0b")

    assert heard == [ProgressReport(1.0, "ab")]


def test_a_report_that_fails_does_no_harm() -> None:
    def broken(_: ProgressReport) -> None:
        raise OSError

    context = a_context(reporter=broken)

    context.report(0.5)


def test_a_report_of_things_that_have_no_text_does_no_harm() -> None:
    class Odd:
        def __str__(self) -> str:
            raise ValueError

    heard: list[ProgressReport] = []

    a_context(reporter=heard.append).report(Odd(), Odd())  # type: ignore[arg-type]

    assert heard == [ProgressReport(0.0, "")]


def test_lines_of_a_handler_name_its_task_in_any_thread() -> None:
    with structlog.testing.capture_logs() as lines:
        thread = threading.Thread(target=a_context(attempt=2).logger.info, args=("resized",))
        thread.start()
        thread.join()

    assert lines == [{"event": "resized", "log_level": "info", "task_id": 17, "attempt": 2}]


def test_a_result_can_be_written_piece_by_piece_and_out_of_order() -> None:
    with a_context().result("table.csv", "text/csv") as file:
        file.write(b"????,b\n")
        file.seek(0)
        file.write(b"head")
        result = file.finish()

    assert result == ResultFile(content=b"head,b\n", content_type="text/csv", file_name="table.csv")


def test_unknown_fields_of_a_payload_are_refused() -> None:
    with pytest.raises(ValueError, match="extra_forbidden"):
        Payload.model_validate({"wdith": 3})
