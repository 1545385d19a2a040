"""One claim's way through the worker: held, executed, settled.

Its message is acked already: while the work runs, the lease stands for it and the
broker holds nothing.

Before: ``consuming`` has a claim, in a slot.
After: the outcome is recorded and the slot is free again.
"""

import asyncio
import time
from dataclasses import dataclass

import structlog
from opentelemetry.trace import Span, SpanKind

from orchestrator_core.attempts import Claim, Failed, HandedBack, Outcome, RetryAfter, Succeeded
from orchestrator_core.logs import speak_of
from orchestrator_core.spans import add_child, child_of, fail, shown_to_sdk, span_of
from orchestrator_core.topology import TASK_QUEUE
from orchestrator_worker.claiming import Taken
from orchestrator_worker.executing import Executor, log_context_of
from orchestrator_worker.leasing import Lease, Leases
from orchestrator_worker.metrics import LEASE_LOST, OUTCOMES, REFUSED, Metrics
from orchestrator_worker.progress import Progress
from orchestrator_worker.reporting import Totals
from orchestrator_worker.settling import Settler
from orchestrator_worker.slots import Slots

PROCESS = f"process {TASK_QUEUE}"

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stations:
    """Where a journey stops, in this order."""

    leases: Leases
    executor: Executor
    settler: Settler


class Journeys:
    """Every claim under way; each has one slot."""

    def __init__(self, stations: Stations, slots: Slots, totals: Totals, metrics: Metrics) -> None:
        self._stations = stations
        self._slots = slots
        self._totals = totals
        self._metrics = metrics
        self._under_way: set[asyncio.Task[None]] = set()

    @property
    def count(self) -> int:
        """How many are under way."""
        return len(self._under_way)

    def start(self, claim: Claim, taken: Taken) -> None:
        """Send a claim on its way; the slot that was taken for it is freed at its end."""
        journey = asyncio.create_task(self._travel(claim, taken))
        self._under_way.add(journey)
        journey.add_done_callback(self._arrive)

    async def wait(self) -> None:
        """Wait until none is under way."""
        while self._under_way:
            await asyncio.wait(self._under_way)

    async def abandon(self) -> None:
        """Cut off what is still under way; leases that it holds run out by themselves."""
        for journey in self._under_way:
            journey.cancel()
        await self.wait()

    def _arrive(self, journey: "asyncio.Task[None]") -> None:
        self._under_way.discard(journey)
        self._slots.give_back()
        if not journey.cancelled() and (error := journey.exception()) is not None:
            # Our own fault, so the lease runs out and the task is tried again.
            _log.error("journey_broke", exc_info=error)

    async def _travel(self, claim: Claim, taken: Taken) -> None:
        # For good: a journey has its task's context to itself.
        speak_of(log_context_of(claim))
        progress = Progress()
        with (
            span_of(
                claim.trace_context, PROCESS, kind=SpanKind.CONSUMER, begun_ns=taken.begun_ns
            ) as span,
            self._stations.leases.held(claim, progress) as lease,
        ):
            _tell_of(span, claim, taken)
            await self._attempt(lease, progress, span)

    async def _attempt(self, lease: Lease, progress: Progress, span: Span) -> None:
        started_at = time.monotonic()
        log = _log.bind(attempt=lease.claim.attempt)
        log.debug("attempt_started")
        with child_of(span, "execute") as executing, shown_to_sdk(executing):
            outcome = await self._stations.executor.execute(
                lease.claim, progress=progress, interrupted=lease.interrupted
            )
        if outcome is None and not lease.is_lost:
            outcome = HandedBack()
        if outcome is None:
            self._metrics.count_lost(lease.claim)
            fail(span, LEASE_LOST)
            log.warning("lease_lost", seconds=round(time.monotonic() - started_at, 3))
            return
        with child_of(span, "settle"):
            is_recorded = await self._stations.settler.settle(lease, outcome)
        _describe(span, outcome, is_recorded=is_recorded)
        seconds = time.monotonic() - started_at
        if not isinstance(outcome, HandedBack):
            self._totals.count(seconds)
        self._metrics.count_ended(lease.claim, outcome, seconds, is_recorded=is_recorded)
        log.info(
            "attempt_ended",
            is_recorded=is_recorded,
            seconds=round(seconds, 3),
            **_facts_of(outcome),
        )


def _tell_of(span: Span, claim: Claim, taken: Taken) -> None:
    if not span.is_recording():
        return
    span.set_attributes(
        {
            "messaging.system": "rabbitmq",
            "orchestrator.task.id": claim.task_id,
            "orchestrator.task.type": claim.task_type,
            "orchestrator.task.attempt": claim.attempt,
        }
    )
    add_child(span, "claim", begun_ns=taken.begun_ns, ended_ns=taken.claimed_ns)


def _describe(span: Span, outcome: Outcome, *, is_recorded: bool) -> None:
    if not span.is_recording():
        return
    told = OUTCOMES[type(outcome)] if is_recorded else REFUSED
    span.set_attribute("orchestrator.task.outcome", told)
    match outcome:
        case Failed(code) | RetryAfter(code):
            fail(span, code or told)


def _facts_of(outcome: Outcome) -> dict[str, object]:
    """Return what the log says of an outcome."""
    facts: dict[str, object] = {"outcome": type(outcome).__name__}
    match outcome:
        case Succeeded(result):
            facts["result_bytes"] = result.size_bytes
        case Failed(code, message) | RetryAfter(code, message, _):
            facts |= {"code": code, "message": message[:500]}
    return facts
