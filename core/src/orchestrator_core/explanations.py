"""What is known of a task when its owner asks why: the facts, all of one database instant.

Before: ``postgres.explanation_store`` reads them.
After: the API's ``explanations`` makes a reason and a sentence of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from orchestrator_core.pools import PodEnd, PoolReport
from orchestrator_core.tasks import TaskId, TaskPriority, TaskStatus

STALE_SECONDS = 180.0
"""The operator tells at least each minute: who is three minutes late does not scale."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A task and its live row."""

    task_id: TaskId
    read_at: datetime
    """The instant that all facts are of."""
    status: TaskStatus
    priority: TaskPriority
    attempts: int
    max_attempts: int
    error_code: str | None
    error_message: str | None
    finished_at: datetime | None
    due_at: datetime | None
    """When it may run, or might have; None once it is final."""
    lease_until: datetime | None
    """None: no attempt holds it."""
    lease_owner: UUID | None
    progress: float | None
    progress_message: str | None

    @property
    def is_leased(self) -> bool:
        """Whether an attempt holds it now."""
        return self.lease_until is not None and self.lease_until > self.read_at

    @property
    def is_due(self) -> bool:
        """Whether it could run now."""
        return self.due_at is not None and self.due_at <= self.read_at


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuePlace:
    """Where a task stands among those that wait. Counting ends at ``postgres``' limit."""

    ahead: int
    """Tasks that are due and go first."""
    waiting: int
    """All that are due and held by nobody, this one included."""
    is_counted_out: bool
    """Whether counting ended at its limit: there are at least as many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolFacts:
    """The workers that take tasks, what their attempts took lately, what the operator told."""

    workers: int
    """Processes that have reported lately and were not asked to take nothing new."""
    slots: int
    busy_slots: int
    measured_attempts: int
    """Recent attempts that ``mean_run_seconds`` is the mean of."""
    mean_run_seconds: float | None
    """None: none was measured."""
    report: PoolReport | None
    """None: the operator has never told."""
    told_at: datetime | None

    @property
    def free_slots(self) -> int:
        """How many attempts could begin at once."""
        return max(0, self.slots - self.busy_slots)


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryEvent:
    """One transition, as an explanation needs it."""

    at: datetime
    epoch: int
    kind: str
    actor: str
    """A worker's id, or ``api``."""
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerTrace:
    """What is left of a worker process that ran attempts of the task."""

    pod_name: str | None
    """None: it ran so long ago that it has been forgotten."""
    seen_at: datetime | None
    """Its last sign of life."""
    ends: tuple[PodEnd, ...] = ()
    """How the operator saw its container and its pod end, the earliest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFacts:
    """All that an explanation follows from."""

    standing: Standing
    place: QueuePlace | None
    """None: it does not wait for a worker."""
    pool: PoolFacts | None
    """None: it is final."""
    events: tuple[HistoryEvent, ...]
    """The latest ones, the oldest first."""
    workers: Mapping[UUID, WorkerTrace]
    unavailable: frozenset[str] = field(default_factory=frozenset)
    """Stores that don't answer, as far as the process that explains knows without asking."""

    @property
    def report(self) -> PoolReport | None:
        """What the operator told, unless that is so long ago that it does not hold any more."""
        if self.pool is None or self.pool.told_at is None:
            return None
        is_stale = self.standing.read_at - self.pool.told_at > timedelta(seconds=STALE_SECONDS)
        return None if is_stale else self.pool.report
