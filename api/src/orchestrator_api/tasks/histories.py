"""A task's attempts, told from its events, and what became of the workers that ran them.

Events say what was settled. An attempt that nobody settled was lost with its worker: what is
known of its end, the operator saw.

Before: ``explanation_store`` has read events, and what is left of their workers.
After: ``explanations`` and the views show each attempt with its end.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import pairwise
from uuid import UUID

from orchestrator_core.explanations import HistoryEvent, Standing, TaskFacts, WorkerTrace
from orchestrator_core.pools import PodEnd


class AttemptEnd(StrEnum):
    """How an attempt ended."""

    RUNNING = "RUNNING"
    """It has not ended."""
    COMPLETED = "COMPLETED"
    RETRY = "RETRY"
    """It failed, and another one may follow."""
    FAILED = "FAILED"
    """It failed for good."""
    HANDED_BACK = "HANDED_BACK"
    """Its worker had to stop; the task was free at once."""
    WORKER_LOST = "WORKER_LOST"
    """Its worker ended, or was silent for too long, without a word about it."""
    CANCELLED = "CANCELLED"
    """The task's owner ended it."""


ENDED_WITH_ITS_WORKER = frozenset({AttemptEnd.WORKER_LOST, AttemptEnd.HANDED_BACK})
"""Of the others the worker itself has told how they ended, so its own end came later."""
_ENDS = frozenset(each.value for each in AttemptEnd)
_CUT_OFF = timedelta(seconds=1)
"""The kubelet tells whole seconds: what ended may have run for the rest of its last one."""
_NOBODY = WorkerTrace(pod_name=None, seen_at=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One attempt, from its claim to its end."""

    number: int
    """1 for the first; of all that were begun, also those that were handed back."""
    started_at: datetime
    ended_at: datetime | None
    """None: it runs. Of a lost one, when its container ended, or its worker's last sign of life;
    where neither is known any more, when the next event came."""
    end: AttemptEnd
    message: str | None
    """What was said at its end."""
    pod_name: str | None
    """None: it ran so long ago that it has been forgotten."""
    pod_end: PodEnd | None
    """How the container or the pod ended, where that ended the attempt and the operator saw it."""


@dataclass(frozen=True, slots=True)
class _Closing:
    """The event that ended an attempt."""

    at: datetime
    end: AttemptEnd
    message: str | None


def tell_attempts(facts: TaskFacts) -> tuple[Attempt, ...]:
    """Return the attempts, the oldest first, as far back as the events go."""
    return tuple(_each_attempt(facts.events, facts.standing, facts.workers))


def find_death(facts: TaskFacts) -> PodEnd | None:
    """Return how the process that holds the lease ended, if the operator saw that it did."""
    owner = facts.standing.lease_owner
    trace = _NOBODY if owner is None else facts.workers.get(owner, _NOBODY)
    return pick_end([end for end in trace.ends if end.has_ended_processes])


def pick_end(ends: Sequence[PodEnd]) -> PodEnd | None:
    """Return the one that says most: out of memory, then what befell the pod, then an exit code."""

    def rank(end: PodEnd) -> tuple[bool, bool]:
        return end.reason != "OOMKilled", end.container != ""

    return min(ends, key=rank, default=None)


def _each_attempt(
    events: Sequence[HistoryEvent], standing: Standing, workers: Mapping[UUID, WorkerTrace]
) -> Iterator[Attempt]:
    claims = [place for place, event in enumerate(events) if event.kind == "CLAIMED"]
    for claim, following in pairwise([*claims, len(events)]):
        begun, is_latest = events[claim], following == len(events)
        trace = workers.get(UUID(begun.actor), _NOBODY)
        closing = _find_closing(events[claim + 1 : following], trace)
        if closing is None and is_latest and _is_running(standing, trace):
            closing = _Closing(standing.read_at, AttemptEnd.RUNNING, None)
        elif closing is None:
            later = standing.read_at if is_latest else events[following].at
            closing = _Closing(later, AttemptEnd.WORKER_LOST, None)
        yield _close(begun, closing, trace)


def _find_closing(events: Sequence[HistoryEvent], trace: WorkerTrace) -> _Closing | None:
    for event in events:
        if event.kind == AttemptEnd.CANCELLED and _had_ended(trace, event.at):
            # The owner ended the task; the attempt had ended before, without a word.
            return _Closing(event.at, AttemptEnd.WORKER_LOST, None)
        if event.kind in _ENDS:
            return _Closing(event.at, AttemptEnd(event.kind), event.reason)
    return None


def _had_ended(trace: WorkerTrace, at: datetime) -> bool:
    """Say whether the worker's process had surely ended at ``at``."""
    return any(end.has_ended_processes and end.ended_at + _CUT_OFF <= at for end in trace.ends)


def _is_running(standing: Standing, trace: WorkerTrace) -> bool:
    return standing.is_leased and not any(end.has_ended_processes for end in trace.ends)


def _close(begun: HistoryEvent, closing: _Closing, trace: WorkerTrace) -> Attempt:
    is_with_worker = closing.end in ENDED_WITH_ITS_WORKER
    pod_end = pick_end(trace.ends) if is_with_worker else None
    ended_at: datetime | None = closing.at
    if closing.end is AttemptEnd.RUNNING:
        ended_at = None
    elif closing.end is AttemptEnd.WORKER_LOST:
        ended_at = _last_sign(begun, closing, trace, pod_end)
    return Attempt(
        number=begun.epoch,
        started_at=begun.at,
        ended_at=ended_at,
        end=closing.end,
        message=closing.message,
        pod_name=trace.pod_name,
        pod_end=pod_end,
    )


def _last_sign(
    begun: HistoryEvent, closing: _Closing, trace: WorkerTrace, pod_end: PodEnd | None
) -> datetime:
    """Return when a lost attempt ended, as far as is known, and never before it began."""
    known = pod_end.ended_at if pod_end is not None else trace.seen_at
    return closing.at if known is None else min(max(begun.at, known), closing.at)
