"""Run one attempt and say how it ended: ``Claim`` to ``Outcome``.

A handler's own fault is an outcome and never an exception, so that every claim
is settled exactly once. Async handlers run on the event loop, so one that blocks
it also blocks the heartbeat: its author's fault, seen by the liveness probe. Plain handlers
run in a child process.

Before: ``journeys`` holds a lease for the claim.
After: ``settling`` records the outcome.
"""

import asyncio
import inspect
from collections.abc import Mapping
from random import Random

import structlog

from orchestrator_core.attempts import Claim, Outcome
from orchestrator_core.handlers import Handler, TaskContext
from orchestrator_core.tracing import trace_id_of
from orchestrator_worker.children import ChildRequest
from orchestrator_worker.processes import Lanes
from orchestrator_worker.verdicts import (
    is_expected,
    outcome_of_error,
    outcome_of_return,
    parse_payload,
    timed_out,
    unknown_type,
)

CANCEL_SECONDS = 2.0
"""How long an async handler may clean up after its cancellation. One that ignores it is left
behind: its attempt ends all the same."""

_log = structlog.get_logger(__name__)


class Executor:
    """Knows every handler and where to run it."""

    def __init__(
        self,
        handlers: Mapping[str, Handler],
        lanes: Lanes,
        *,
        task_timeout_seconds: float,
        max_result_bytes: int,
        chance: Random,
    ) -> None:
        self._handlers = handlers
        self._lanes = lanes
        self._task_timeout_seconds = task_timeout_seconds
        self._max_result_bytes = max_result_bytes
        self._chance = chance

    async def execute(self, claim: Claim) -> Outcome:
        """Run one attempt within the shortest of the three limits that apply to it.

        Raises:
            asyncio.CancelledError: the lease is lost or the worker drains; the handler
                was cancelled or its child killed.
        """
        handler = self._handlers.get(claim.task_type)
        if handler is None:
            return unknown_type(claim.task_type)
        timeout_seconds = min(
            claim.timeout_seconds, handler.timeout_seconds, self._task_timeout_seconds
        )
        if handler.is_async:
            return await self._execute_on_loop(handler, claim, timeout_seconds=timeout_seconds)
        request = ChildRequest(
            task_type=claim.task_type,
            payload=claim.payload,
            context=context_of(claim),
            max_result_bytes=self._max_result_bytes,
            log_context=log_context_of(claim),
        )
        return await self._lanes.run(request, timeout_seconds=timeout_seconds)

    async def _execute_on_loop(
        self, handler: Handler, claim: Claim, *, timeout_seconds: float
    ) -> Outcome:
        # A task of its own, because only a task can be given up on.
        running = asyncio.create_task(self._judge(handler, claim))
        try:
            done, _ = await asyncio.wait({running}, timeout=timeout_seconds)
        except asyncio.CancelledError:
            await _cancel(running)
            raise
        if done:
            return running.result()
        await _cancel(running)
        return timed_out(timeout_seconds, attempt=claim.attempt, chance=self._chance)

    async def _judge(self, handler: Handler, claim: Claim) -> Outcome:
        try:
            returned = handler.run(parse_payload(handler, claim.payload), context_of(claim))
            if inspect.isawaitable(returned):
                returned = await returned
        except BaseException as error:
            if _is_ours(error):
                raise
            if not is_expected(error):
                _log.warning("handler_raised", exc_info=error)
            return outcome_of_error(error, attempt=claim.attempt, chance=self._chance)
        return outcome_of_return(returned, max_result_bytes=self._max_result_bytes)


def context_of(claim: Claim) -> TaskContext:
    """Return what the handler may know of its attempt."""
    return TaskContext(task_id=claim.task_id, attempt=claim.attempt)


def log_context_of(claim: Claim) -> dict[str, object]:
    """Return what every log line of an attempt carries."""
    return {
        "task_id": claim.task_id,
        "task_type": claim.task_type,
        "epoch": claim.epoch,
        "trace_id": trace_id_of(claim.trace_context),
    }


def _is_ours(error: BaseException) -> bool:
    """Tell our cancellation from a ``CancelledError`` that the handler came up with."""
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling() > 0


async def _cancel(running: "asyncio.Task[Outcome]") -> None:
    running.cancel()
    _, pending = await asyncio.wait({running}, timeout=CANCEL_SECONDS)
    if pending:
        _log.error("handler_left_behind", reason="it ignored its cancellation")
