"""A plain handler's end becomes plain data before it leaves the child."""

import pickle
import signal
from collections.abc import Iterator

import pytest

from orchestrator_core.attempts import Failed, ResultFile, RetryAfter, Returned
from orchestrator_core.handlers import AttemptCancelled, GiveUpError, TaskContext
from orchestrator_core.tasks import ErrorCode, TaskId
from orchestrator_core.testing import AnyPayload, a_handler, a_result
from orchestrator_worker.children import Cancellation, ChildRequest, run_handler


class UnpicklableError(Exception):
    """Like many errors of client libraries: holds what can't be pickled."""

    def __init__(self) -> None:
        super().__init__("the connection broke")
        self.callback = lambda: None


def a_request(payload: str = "{}") -> ChildRequest:
    return ChildRequest(
        task_type="any",
        payload=payload,
        context=TaskContext(task_id=TaskId(17), attempt=1, max_result_bytes=1024),
        log_context={},
    )


@pytest.fixture
def before() -> Iterator[list[int]]:
    """Let SIGTERM be heard by the test, where nobody else listens."""
    heard: list[int] = []
    previous = signal.signal(signal.SIGTERM, lambda number, _: heard.append(number))
    yield heard
    signal.signal(signal.SIGTERM, previous)


def test_a_plain_handler_that_returns_a_file_succeeds() -> None:
    def run(payload: AnyPayload, _: TaskContext) -> ResultFile:
        return a_result(payload.text.encode())

    ending = run_handler(a_handler(run), a_request('{"text": "hello"}'))

    assert ending == Returned(a_result(b"hello"))


@pytest.mark.parametrize("error", [UnpicklableError(), SystemExit(1), ZeroDivisionError()])
def test_whatever_a_handler_raises_leaves_as_plain_data(error: BaseException) -> None:
    def run(_: AnyPayload, __: TaskContext) -> ResultFile:
        raise error

    ending = run_handler(a_handler(run), a_request())

    assert isinstance(ending, RetryAfter)
    assert pickle.loads(pickle.dumps(ending)) == ending  # noqa: S301 - our own bytes


def test_giving_up_is_final_in_a_child_too() -> None:
    def run(_: AnyPayload, __: TaskContext) -> ResultFile:
        raise GiveUpError("no")

    assert run_handler(a_handler(run), a_request()) == Failed(ErrorCode.HANDLER_ERROR, "no")


def test_a_child_refuses_a_payload_that_does_not_fit() -> None:
    ending = run_handler(a_handler(), a_request('{"text": 7}'))

    assert isinstance(ending, Failed)
    assert ending.code is ErrorCode.INVALID_PAYLOAD


def test_the_end_of_an_attempt_is_no_fault_of_its_handler() -> None:
    def run(_: AnyPayload, __: TaskContext) -> ResultFile:
        raise AttemptCancelled

    with pytest.raises(AttemptCancelled):
        run_handler(a_handler(run), a_request())


def test_the_first_signal_ends_the_handler_and_later_ones_leave_it_to_clean_up(
    before: list[int],
) -> None:
    cancellation, cleaned = Cancellation(), []

    with pytest.raises(AttemptCancelled), cancellation:  # noqa: PT012 - the block is the handler
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            signal.raise_signal(signal.SIGTERM)
            cleaned.append("file")

    assert cleaned == ["file"]
    assert cancellation.is_asked
    assert before == []


def test_between_attempts_a_signal_does_what_it_did_before(before: list[int]) -> None:
    with Cancellation() as cancellation:
        pass

    signal.raise_signal(signal.SIGTERM)

    assert before == [signal.SIGTERM]
    assert not cancellation.is_asked


def test_a_cancelled_attempt_ends_its_process_as_the_signal_would_have(before: list[int]) -> None:
    cancellation = Cancellation()
    with pytest.raises(AttemptCancelled), cancellation:
        signal.raise_signal(signal.SIGTERM)

    cancellation.end_process()

    assert before == [signal.SIGTERM]
