"""A plain handler's end becomes plain data before it leaves the child."""

import pickle

import pytest

from orchestrator_core.attempts import Failed, ResultFile, RetryAfter, Succeeded
from orchestrator_core.handlers import GiveUpError, TaskContext
from orchestrator_core.tasks import ErrorCode, TaskId
from orchestrator_core.testing import AnyPayload, a_handler, a_result
from orchestrator_worker.children import ChildRequest, run_handler


class UnpicklableError(Exception):
    """Like many errors of client libraries: holds what can't be pickled."""

    def __init__(self) -> None:
        super().__init__("the connection broke")
        self.callback = lambda: None


def a_request(payload: str = "{}") -> ChildRequest:
    return ChildRequest(
        task_type="any",
        payload=payload,
        context=TaskContext(task_id=TaskId(17), attempt=1),
        max_result_bytes=1024,
        log_context={},
    )


def test_a_plain_handler_that_returns_a_file_succeeds() -> None:
    def run(payload: AnyPayload, _: TaskContext) -> ResultFile:
        return a_result(payload.text.encode())

    outcome = run_handler(a_handler(run), a_request('{"text": "hello"}'))

    assert outcome == Succeeded(a_result(b"hello"))


@pytest.mark.parametrize("error", [UnpicklableError(), SystemExit(1), ZeroDivisionError()])
def test_whatever_a_handler_raises_leaves_as_plain_data(error: BaseException) -> None:
    def run(_: AnyPayload, __: TaskContext) -> ResultFile:
        raise error

    outcome = run_handler(a_handler(run), a_request())

    assert isinstance(outcome, RetryAfter)
    assert pickle.loads(pickle.dumps(outcome)) == outcome  # noqa: S301 - our own bytes


def test_giving_up_is_final_in_a_child_too() -> None:
    def run(_: AnyPayload, __: TaskContext) -> ResultFile:
        raise GiveUpError("no")

    assert run_handler(a_handler(run), a_request()) == Failed(ErrorCode.HANDLER_ERROR, "no")


def test_a_child_refuses_a_payload_that_does_not_fit() -> None:
    outcome = run_handler(a_handler(), a_request('{"text": 7}'))

    assert isinstance(outcome, Failed)
    assert outcome.code is ErrorCode.INVALID_PAYLOAD
