"""Run one attempt and say how it ended: ``Claim`` to ``Outcome``.

A handler's own fault is an outcome and never an exception, so that every claim
is settled exactly once. Async handlers run on the event loop, plain ones in a child
process; a type that works on files is supplied with them first.

Before: ``journeys`` holds a lease for the claim.
After: ``settling`` records the outcome.
"""

import asyncio
import functools
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from random import Random
from typing import Any, NamedTuple

import structlog

from orchestrator_core.attempts import (
    Claim,
    Ending,
    Failed,
    Outcome,
    RetryAfter,
    Returned,
    Succeeded,
)
from orchestrator_core.errors import StoreUnavailableError
from orchestrator_core.handlers import Handler, TaskContext
from orchestrator_core.spans import current_context
from orchestrator_core.tracing import trace_id_of
from orchestrator_worker.children import ChildRequest
from orchestrator_worker.processes import Lanes
from orchestrator_worker.progress import Progress
from orchestrator_worker.storing import KeepResult
from orchestrator_worker.supplying import Supplier
from orchestrator_worker.verdicts import (
    ending_of_error,
    ending_of_return,
    is_expected,
    parse_payload,
    timed_out,
    unknown_type,
)

CANCEL_SECONDS = 2.0
"""How long an async handler may clean up after its cancellation. One that ignores it is left
behind: its attempt ends all the same."""

LEAST_SECONDS = 1.0
"""What a handler gets at least if its supplies took almost all of its time."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What holds for every attempt, whatever its task type allows."""

    task_timeout_seconds: float
    max_result_bytes: int


class Attempt(NamedTuple):
    """One attempt on its way to a handler."""

    handler: Handler
    claim: Claim
    progress: Progress
    context: TaskContext
    limit_seconds: float


class Executor:
    """Knows every handler and where to run it."""

    def __init__(  # noqa: PLR0913 - the stages of an attempt, and what holds for all
        self,
        handlers: Mapping[str, Handler],
        lanes: Lanes,
        supplier: Supplier,
        keep_result: KeepResult,
        *,
        limits: Limits,
        chance: Random,
    ) -> None:
        self._handlers = handlers
        self._lanes = lanes
        self._supplier = supplier
        self._keep_result = keep_result
        self._limits = limits
        self._chance = chance

    async def execute(
        self,
        claim: Claim,
        *,
        progress: Progress,
        interrupted: "asyncio.Future[Any] | None" = None,
    ) -> Outcome | None:
        """Run one attempt within the shortest of the three limits that apply to it.

        Args:
            claim: the attempt.
            progress: takes what the handler reports.
            interrupted: ends the attempt when it is done; its handler is cancelled then, or
                its child killed.

        Returns:
            How it ended; None when it was interrupted before. Of what a handler does then, only
            a result counts.

        Raises:
            asyncio.CancelledError: nobody waits for it any more; ended as by ``interrupted``.
        """
        handler = self._handlers.get(claim.task_type)
        if handler is None:
            return unknown_type(claim.task_type)
        limit_seconds = min(
            claim.timeout_seconds, handler.timeout_seconds, self._limits.task_timeout_seconds
        )
        # A task of its own, because only a task can be given up on.
        running = asyncio.create_task(
            self._run(handler, claim, progress, limit_seconds=limit_seconds)
        )
        is_timely = False
        try:
            # A child is killed by its lane, which knows when it began.
            patience = limit_seconds if handler.is_async else None
            is_timely = await _end_of(running, interrupted, limit_seconds=patience)
        finally:
            is_cut_off = not running.done()
            if is_cut_off:
                await _cancel(running)
        if not is_timely:
            return timed_out(limit_seconds, attempt=claim.attempt, chance=self._chance)
        is_over = running.done() and not running.cancelled()
        outcome = running.result() if is_over else None
        # Anything else may come of the cancellation, as from a connection that breaks in it,
        # and would spend an attempt on it or fail the task.
        return outcome if isinstance(outcome, Succeeded) or not is_cut_off else None

    async def _run(
        self, handler: Handler, claim: Claim, progress: Progress, *, limit_seconds: float
    ) -> Outcome:
        attempt = Attempt(
            handler, claim, progress, self._build_context(handler, claim, progress), limit_seconds
        )
        if handler.is_supplied:
            return await self._supply(attempt)
        return await self._run_supplied(attempt)

    def _build_context(self, handler: Handler, claim: Claim, progress: Progress) -> TaskContext:
        """Return the context of the current task's attempt; made once, because most are short."""
        if not handler.is_async:
            # What is missing here can't cross into a child, which has its own.
            return TaskContext(
                task_id=claim.task_id,
                attempt=claim.attempt,
                max_result_bytes=self._limits.max_result_bytes,
                traceparent=current_context(claim.trace_context),
            )
        return TaskContext(
            task_id=claim.task_id,
            attempt=claim.attempt,
            max_result_bytes=self._limits.max_result_bytes,
            traceparent=current_context(claim.trace_context),
            owners_data=self._supplier.owners_data(claim.user_id),
            reporter=progress.take,
            cancellation=_is_ending(),
        )

    async def _supply(self, attempt: Attempt) -> Outcome:
        handler, claim = attempt.handler, attempt.claim
        clock = asyncio.get_running_loop().time
        started_at = clock()
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(attempt.limit_seconds) as patience:
                    workplace = await stack.enter_async_context(
                        self._supplier.supplied(
                            handler,
                            parse_payload(handler, claim.payload),
                            replace(attempt.context, reporter=attempt.progress.take),
                            claim.user_id,
                        )
                    )
            except Exception as error:  # noqa: BLE001 - the type's own functions may break
                if patience.expired():
                    return timed_out(
                        attempt.limit_seconds, attempt=claim.attempt, chance=self._chance
                    )
                return self._ending_of(error, claim)
            left_seconds = max(attempt.limit_seconds - (clock() - started_at), LEAST_SECONDS)
            context = replace(attempt.context, workplace=workplace)
            return await self._run_supplied(
                attempt._replace(context=context, limit_seconds=left_seconds)
            )

    async def _run_supplied(self, attempt: Attempt) -> Outcome:
        ending = await self._run_handler(attempt)
        if not isinstance(ending, Returned):
            return ending
        try:
            return Succeeded(await self._keep_result(attempt.claim, ending.result))
        except (StoreUnavailableError, OSError) as error:
            _log.warning("result_not_kept", error=str(error))
            return self._ending_of(error, attempt.claim)

    async def _run_handler(self, attempt: Attempt) -> Ending:
        handler, claim = attempt.handler, attempt.claim
        if handler.is_async:
            return await self._judge(attempt)
        request = ChildRequest(
            task_type=claim.task_type,
            payload=claim.payload,
            context=attempt.context,
            log_context=log_context_of(claim),
        )
        return await self._lanes.run(
            request, timeout_seconds=attempt.limit_seconds, progress=attempt.progress
        )

    async def _judge(self, attempt: Attempt) -> Ending:
        handler, claim = attempt.handler, attempt.claim
        try:
            running: Any = handler.run(parse_payload(handler, claim.payload), attempt.context)
            returned = await running
        except BaseException as error:
            if _is_ours(error):
                raise
            return self._ending_of(error, claim)
        return ending_of_return(returned, max_result_bytes=self._limits.max_result_bytes)

    def _ending_of(self, error: BaseException, claim: Claim) -> Failed | RetryAfter:
        if not is_expected(error):
            _log.warning("handler_raised", exc_info=error)
        return ending_of_error(error, attempt=claim.attempt, chance=self._chance)


def log_context_of(claim: Claim) -> dict[str, object]:
    """Return what every log line of an attempt carries."""
    return {
        "task_id": claim.task_id,
        "task_type": claim.task_type,
        "epoch": claim.epoch,
        "trace_id": trace_id_of(claim.trace_context),
    }


def _is_ending() -> Callable[[], bool]:
    """Return what tells, from any thread, whether the current task was told to end."""
    task = asyncio.current_task()
    return lambda: task is not None and task.cancelling() > 0


def _is_ours(error: BaseException) -> bool:
    """Tell our cancellation from a ``CancelledError`` that the handler came up with."""
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling() > 0


async def _end_of(
    running: "asyncio.Task[Outcome]",
    interrupted: "asyncio.Future[Any] | None",
    *,
    limit_seconds: float | None,
) -> bool:
    """Wait for an attempt's end or its interruption; return False if the limit passed first.

    ``asyncio.wait`` does the same for any number of futures, at ten times the cost: an attempt
    may take less than that.
    """
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[bool] = loop.create_future()
    end_timely = functools.partial(_end, ended, True)  # noqa: FBT003 - a callback's argument
    running.add_done_callback(end_timely)
    if interrupted is not None:
        interrupted.add_done_callback(end_timely)
    timer = None if limit_seconds is None else loop.call_later(limit_seconds, _end, ended, False)  # noqa: FBT003 - likewise
    try:
        return await ended
    finally:
        if timer is not None:
            timer.cancel()
        if interrupted is not None:
            interrupted.remove_done_callback(end_timely)


def _end(ended: "asyncio.Future[bool]", is_timely: bool, *_: object) -> None:  # noqa: FBT001
    if not ended.done():
        ended.set_result(is_timely)


async def _cancel(running: "asyncio.Task[Outcome]") -> None:
    running.cancel()
    _, pending = await asyncio.wait({running}, timeout=CANCEL_SECONDS)
    if pending:
        _log.error("handler_left_behind", reason="it ignored its cancellation")
