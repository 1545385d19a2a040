"""Facts about tasks that somebody might ask about, made by hand.

Before: a test names what it is about.
After: the facts are whole, with sensible defaults, and of one instant.
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from orchestrator_core.explanations import (
    HistoryEvent,
    PoolFacts,
    QueuePlace,
    Standing,
    TaskFacts,
    WorkerTrace,
)
from orchestrator_core.pools import PodEnd, PoolReport
from orchestrator_core.tasks import TaskId, TaskPriority, TaskStatus

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
WORKER = UUID(int=1)
OTHER_WORKER = UUID(int=2)


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def in_seconds(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def a_standing(**values: Any) -> Standing:
    """A task that has been due for a minute and was never claimed."""
    standing = Standing(
        task_id=TaskId(7),
        read_at=NOW,
        status=TaskStatus.PENDING,
        priority=TaskPriority.NORMAL,
        attempts=0,
        max_attempts=3,
        error_code=None,
        error_message=None,
        finished_at=None,
        due_at=ago(60),
        lease_until=None,
        lease_owner=None,
        progress=None,
        progress_message=None,
    )
    return replace(standing, **values)


def a_leased(**values: Any) -> Standing:
    """A task under its first lease."""
    leased = a_standing(
        status=TaskStatus.PROCESSING,
        attempts=1,
        lease_until=in_seconds(20),
        lease_owner=WORKER,
    )
    return replace(leased, **values)


def a_final(status: TaskStatus, **values: Any) -> Standing:
    """A task that has ended after one attempt."""
    final = a_standing(status=status, attempts=1, due_at=None, finished_at=ago(5))
    return replace(final, **values)


def a_report(**values: Any) -> PoolReport:
    """An automatic pool that is as large as it should be and might grow."""
    report = PoolReport(
        mode="Automatic",
        min_replicas=0,
        max_replicas=10,
        desired_replicas=2,
        slots_per_pod=4,
        pod_start_seconds=5.0,
        limited_message=None,
        held_message=None,
    )
    return replace(report, **values)


def a_pool(report: PoolReport | None = None, **values: Any) -> PoolFacts:
    """Two workers with all slots taken, whose attempts take two seconds."""
    pool = PoolFacts(
        workers=2,
        slots=8,
        busy_slots=8,
        measured_attempts=100,
        mean_run_seconds=2.0,
        report=report or a_report(),
        told_at=ago(30),
    )
    return replace(pool, **values)


def no_pool(report: PoolReport | None = None, **values: Any) -> PoolFacts:
    """A pool without workers."""
    empty = {"workers": 0, "slots": 0, "busy_slots": 0}
    return a_pool(report or a_report(desired_replicas=0), **{**empty, **values})


def a_place(ahead: int = 0, **values: Any) -> QueuePlace:
    return replace(QueuePlace(ahead=ahead, waiting=ahead + 5, is_counted_out=False), **values)


def an_event(kind: str, *, seconds_ago: float, epoch: int = 1, **values: Any) -> HistoryEvent:
    event = HistoryEvent(
        at=ago(seconds_ago), epoch=epoch, kind=kind, actor=str(WORKER), reason=None
    )
    return replace(event, **values)


def a_pod_end(reason: str = "OOMKilled", **values: Any) -> PodEnd:
    """A container's end, ten seconds ago."""
    end = PodEnd(
        pod_uid="uid",
        pod_name="demo-worker-1",
        container="worker",
        began_at=ago(600),
        ended_at=ago(10),
        reason=reason,
        exit_code=137,
        message="",
    )
    return replace(end, **values)


def a_deleted_pod(reason: str = "Deleted", **values: Any) -> PodEnd:
    """The end of a pod as a whole."""
    return a_pod_end(reason, container="", exit_code=None, **values)


def a_trace(*ends: PodEnd, **values: Any) -> WorkerTrace:
    """A worker that reported a second ago."""
    trace = WorkerTrace(pod_name="demo-worker-1", seen_at=ago(1), ends=ends)
    return replace(trace, **values)


def some_facts(standing: Standing | None = None, **values: Any) -> TaskFacts:
    """The facts of a task that stands third in line, unless said otherwise."""
    standing = standing or a_standing()
    waits = not standing.is_leased and standing.is_due
    facts = TaskFacts(
        standing=standing,
        place=a_place(2) if waits else None,
        pool=None if standing.status.is_final else a_pool(),
        events=(),
        workers={WORKER: a_trace()},
    )
    return replace(facts, **values)


CLAIMED = an_event("CLAIMED", seconds_ago=40)
