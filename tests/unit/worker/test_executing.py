"""An attempt ends in an outcome, whatever its handler does."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from random import Random

import pytest

from orchestrator_core.attempts import (
    Failed,
    Outcome,
    ProgressReport,
    ResultFile,
    RetryAfter,
    Succeeded,
)
from orchestrator_core.handlers import GiveUpError, Handler, RetryLaterError, TaskContext
from orchestrator_core.tasks import ErrorCode
from orchestrator_core.testing import AnyPayload, a_claim, a_handler, a_result, raising
from orchestrator_worker import executing
from orchestrator_worker.executing import Executor, Limits
from orchestrator_worker.processes import Lanes
from orchestrator_worker.progress import Progress
from orchestrator_worker.storing import carry_result
from orchestrator_worker.supplying import Supplier
from supplied import a_supplier

LIMIT_SECONDS = 900
MAX_RESULT_BYTES = 1024

Run = Callable[[AnyPayload, TaskContext], Awaitable[ResultFile]]


def an_executor(
    *handlers: Handler,
    task_timeout_seconds: float = LIMIT_SECONDS,
    supplier: Supplier | None = None,
) -> Executor:
    return Executor(
        {handler.task_type: handler for handler in handlers},
        Lanes(0, chance=Random(1)),
        supplier or a_supplier(),
        carry_result,
        limits=Limits(task_timeout_seconds=task_timeout_seconds, max_result_bytes=MAX_RESULT_BYTES),
        chance=Random(1),
    )


async def outcome_of(handler: Handler, **claim: object) -> Outcome:
    outcome = await an_executor(handler).execute(a_claim(**claim), progress=Progress())  # type: ignore[arg-type]
    assert outcome is not None
    return outcome


async def never(_: AnyPayload, __: TaskContext) -> ResultFile:
    await asyncio.Event().wait()
    raise AssertionError


async def test_a_handler_that_returns_a_file_succeeds() -> None:
    assert await outcome_of(a_handler()) == Succeeded(a_result())


async def test_a_handler_gets_its_payload_as_a_model_and_its_attempt() -> None:
    async def echo(payload: AnyPayload, context: TaskContext) -> ResultFile:
        return a_result(f"{payload.text} {context.task_id} {context.attempt}".encode())

    outcome = await outcome_of(a_handler(echo), payload='{"text": "hello"}', attempt=2)

    assert outcome == Succeeded(a_result(b"hello 17 2"))


async def test_a_handlers_error_is_retried_after_a_growing_delay() -> None:
    outcome = await outcome_of(a_handler(raising(ValueError("no such file"))), attempt=3)

    assert isinstance(outcome, RetryAfter)
    assert (outcome.code, outcome.message) == (
        ErrorCode.HANDLER_ERROR,
        "ValueError: no such file",
    )
    assert 0 <= outcome.delay_seconds <= 4


async def test_a_handler_that_gives_up_fails_for_good() -> None:
    outcome = await outcome_of(a_handler(raising(GiveUpError("the image is damaged"))))

    assert outcome == Failed(ErrorCode.HANDLER_ERROR, "the image is damaged")


@pytest.mark.parametrize(
    ("asked", "given"), [(90, 90), (-1, 0), (float("nan"), 0), (1e12, 24 * 3600)]
)
async def test_a_handler_that_asks_for_time_gets_it_within_reason(
    asked: float, given: float
) -> None:
    error = RetryLaterError("the server is busy", delay_seconds=asked)

    outcome = await outcome_of(a_handler(raising(error)))

    assert outcome == RetryAfter(None, "the server is busy", given)


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError()])
async def test_a_handler_can_not_end_the_worker(error: BaseException) -> None:
    outcome = await outcome_of(a_handler(raising(error)))

    assert isinstance(outcome, RetryAfter)
    assert type(error).__name__ in outcome.message


async def test_a_handler_without_memory_is_told_apart() -> None:
    outcome = await outcome_of(a_handler(raising(MemoryError())))

    assert isinstance(outcome, RetryAfter)
    assert outcome.code is ErrorCode.OUT_OF_MEMORY


@pytest.mark.parametrize("payload", ["", "[]", '{"text": 1}', '{"other": "field"}'])
async def test_a_payload_that_does_not_fit_fails_for_good(payload: str) -> None:
    outcome = await outcome_of(a_handler(), payload=payload)

    assert isinstance(outcome, Failed)
    assert outcome.code is ErrorCode.INVALID_PAYLOAD


async def test_a_refused_payload_names_the_field_and_never_its_value() -> None:
    outcome = await outcome_of(a_handler(), payload='{"text": ["secret"]}')

    assert isinstance(outcome, Failed)
    assert "text: Input should be a valid string" in outcome.message
    assert "secret" not in outcome.message


async def test_a_result_that_is_no_file_fails_with_a_sentence() -> None:
    async def run(_: AnyPayload, __: TaskContext) -> ResultFile:
        return "done"  # type: ignore[return-value]

    outcome = await outcome_of(a_handler(run))

    assert outcome == Failed(
        ErrorCode.HANDLER_ERROR, "the handler returned str; expected a ResultFile"
    )


async def test_a_result_that_is_too_large_fails_with_a_sentence() -> None:
    async def run(_: AnyPayload, __: TaskContext) -> ResultFile:
        return a_result(b"x" * (MAX_RESULT_BYTES + 1))

    outcome = await outcome_of(a_handler(run))

    assert isinstance(outcome, Failed)
    assert "ask for a smaller result" in outcome.message


async def test_an_unknown_type_is_left_to_another_worker() -> None:
    outcome = await an_executor().execute(a_claim(task_type="newer"), progress=Progress())

    assert outcome == RetryAfter(
        None,
        "the worker that took the task does not know the type 'newer'",
        30.0,
    )


@pytest.mark.parametrize(
    ("task", "handler", "worker"), [(0.01, 60, 60), (60, 0.01, 60), (60, 60, 0.01)]
)
async def test_the_shortest_of_three_limits_ends_the_attempt(
    task: float, handler: float, worker: float
) -> None:
    slow = a_handler(never, timeout_seconds=handler)  # type: ignore[arg-type]
    executor = an_executor(slow, task_timeout_seconds=worker)

    outcome = await executor.execute(a_claim(timeout_seconds=task), progress=Progress())

    assert isinstance(outcome, RetryAfter)
    assert (outcome.code, outcome.message) == (
        ErrorCode.TIMEOUT,
        "the attempt took longer than 0.01 s and was stopped",
    )


async def test_a_handlers_own_timeout_error_is_no_timeout_of_the_attempt() -> None:
    outcome = await outcome_of(a_handler(raising(TimeoutError("upstream"))))

    assert isinstance(outcome, RetryAfter)
    assert outcome.code is ErrorCode.HANDLER_ERROR


async def test_a_handler_that_ignores_its_cancellation_ends_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(executing, "CANCEL_SECONDS", 0.01)
    is_over = asyncio.Event()

    async def stubborn(_: AnyPayload, __: TaskContext) -> ResultFile:
        while not is_over.is_set():
            try:
                await is_over.wait()
            except asyncio.CancelledError:
                continue
        return a_result()

    outcome = await outcome_of(a_handler(stubborn), timeout_seconds=0.01)
    is_over.set()

    assert isinstance(outcome, RetryAfter)
    assert outcome.code is ErrorCode.TIMEOUT


async def test_a_cancelled_attempt_cancels_its_handler() -> None:
    has_begun, was_cancelled = asyncio.Event(), asyncio.Event()

    async def run(_: AnyPayload, __: TaskContext) -> ResultFile:
        has_begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            was_cancelled.set()
            raise
        raise AssertionError

    attempt = asyncio.create_task(outcome_of(a_handler(run)))
    await has_begun.wait()
    attempt.cancel()

    with pytest.raises(asyncio.CancelledError):
        await attempt
    assert was_cancelled.is_set()


async def outcome_when_interrupted(run: Run) -> Outcome | None:
    has_begun = asyncio.Event()
    interrupted: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def begin(payload: AnyPayload, context: TaskContext) -> ResultFile:
        has_begun.set()
        return await run(payload, context)

    executor = an_executor(a_handler(begin))
    attempt = asyncio.create_task(
        executor.execute(a_claim(), progress=Progress(), interrupted=interrupted)
    )
    await has_begun.wait()
    interrupted.set_result(None)
    return await attempt


async def test_an_interrupted_attempt_ends_without_an_outcome() -> None:
    assert await outcome_when_interrupted(never) is None


async def break_in_a_group(_: AnyPayload, __: TaskContext) -> ResultFile:
    async def talk() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise ConnectionError("closed while it said goodbye")

    async with asyncio.TaskGroup() as group:
        group.create_task(talk())
    raise AssertionError


async def give_up_when_cancelled(_: AnyPayload, __: TaskContext) -> ResultFile:
    try:
        await asyncio.Event().wait()
    finally:
        raise GiveUpError("somebody stopped it")


async def return_nothing_when_cancelled(_: AnyPayload, __: TaskContext) -> ResultFile:
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.Event().wait()
    return None  # type: ignore[return-value]


@pytest.mark.parametrize(
    "run", [break_in_a_group, give_up_when_cancelled, return_nothing_when_cancelled]
)
async def test_what_comes_of_an_interruption_is_no_outcome(run: Run) -> None:
    assert await outcome_when_interrupted(run) is None


async def test_a_result_that_is_ready_in_spite_of_an_interruption_counts() -> None:
    async def finish(_: AnyPayload, __: TaskContext) -> ResultFile:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return a_result()

    assert await outcome_when_interrupted(finish) == Succeeded(a_result())


async def test_an_outcome_stays_when_its_interruption_comes_too_late() -> None:
    interrupted: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def fail(_: AnyPayload, __: TaskContext) -> ResultFile:
        interrupted.set_result(None)
        raise GiveUpError("the image is damaged")

    outcome = await an_executor(a_handler(fail)).execute(
        a_claim(), progress=Progress(), interrupted=interrupted
    )

    assert outcome == Failed(ErrorCode.HANDLER_ERROR, "the image is damaged")


async def test_what_a_handler_reports_reaches_its_progress() -> None:
    async def run(_: AnyPayload, context: TaskContext) -> ResultFile:
        context.report(0.5, "halfway")
        return a_result()

    progress = Progress()
    await an_executor(a_handler(run)).execute(a_claim(), progress=progress)

    assert progress.latest() == ProgressReport(0.5, "halfway")


async def test_a_handler_can_tell_that_it_is_to_end() -> None:
    seen: list[bool] = []
    has_begun = asyncio.Event()

    async def run(_: AnyPayload, context: TaskContext) -> ResultFile:
        seen.append(context.is_cancelled)
        has_begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            seen.append(context.is_cancelled)
        raise AssertionError

    interrupted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    attempt = asyncio.create_task(
        an_executor(a_handler(run)).execute(a_claim(), progress=Progress(), interrupted=interrupted)
    )
    await has_begun.wait()
    interrupted.set_result(None)
    await attempt

    assert seen == [False, True]
