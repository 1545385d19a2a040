"""What a task may know and do of its owner's, and of nobody else's.

A handler never names a user: what it gets is bound to the owner of its task.
Each method is bounded in time and memory, however much the owner has.

Before: the worker binds a store to the owner of a claim.
After: a handler, or its ``gather``, asks through ``TaskContext.owner``.
"""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Protocol

from orchestrator_core.tasks import TaskId, TaskPriority, TaskStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryFilter:
    """Which tasks of the owner are wanted; None means any."""

    statuses: tuple[TaskStatus, ...] | None = None
    task_types: tuple[str, ...] | None = None
    created_from: datetime | None = None
    """Accepted at this time or later."""
    created_before: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRecord:
    """A task as its owner's export shows it: without its payload."""

    task_id: TaskId
    task_type: str
    status: TaskStatus
    priority: TaskPriority
    attempts: int
    max_attempts: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    result_file: str | None
    result_bytes: int | None
    error_code: str | None
    error_message: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """A span of time, its beginning in it and its end not."""

    start: datetime
    stop: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class TypeCount:
    """How many tasks of one type were accepted in a period and are in one state now."""

    task_type: str
    status: TaskStatus
    tasks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DayCount:
    """How many tasks were accepted on one day, in UTC, and are in one state now."""

    day: date
    status: TaskStatus
    tasks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Latencies:
    """Of the completed tasks of one type in a period, in seconds, as ``percentile_cont`` has it."""

    task_type: str
    tasks: int
    waiting_p50: float
    """From the time at which it could begin to its first start."""
    waiting_p95: float
    running_p50: float
    """From its first start to its end, retries included."""
    running_p95: float
    running_p99: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """What an owner's tasks of a period came to, as one instant of the database shows it."""

    period: Period
    read_at: datetime
    by_type: Sequence[TypeCount]
    by_day: Sequence[DayCount]
    latencies: Sequence[Latencies]
    slowest: Sequence[TaskRecord]
    """Those that ran longest, the longest first."""
    failed: Sequence[TaskRecord]
    """The latest that failed, the latest first."""


class ItemKind(StrEnum):
    """What an owner's clean-up may delete."""

    UPLOAD = "upload"
    RESULT = "result"


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanUp:
    """What of the owner's is to go: what has expired, and what is older than asked."""

    kinds: frozenset[ItemKind] = frozenset(ItemKind)
    older_than_seconds: float | None = None
    """Since it was made; None: only what has expired."""
    is_trial: bool = False
    """Delete nothing, only say what would go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """One thing that was deleted, or would be."""

    kind: ItemKind
    id: int
    """Of the file, or of the task whose result it was."""
    file_name: str
    size_bytes: int
    created_at: datetime
    expires_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryPage:
    """Some tasks of an owner, in id order."""

    records: Sequence[TaskRecord]
    """May be empty: none of those looked at was wanted."""
    fraction: float
    """How much of the history has been looked at, from 0 to 1; never less than before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanUpPage:
    """A step of a clean-up."""

    removals: Sequence[Removal]
    fraction: float
    """How much has been looked at, from 0 to 1; never less than before."""


class OwnersData(Protocol):
    """What one owner has. Every method may raise ``StoreUnavailableError``."""

    def history(self, wanted: HistoryFilter) -> AsyncGenerator[HistoryPage, None]:
        """Yield the owner's tasks in id order, as far as they existed at the first page."""

    async def activity(self, period: Period, *, listed: int) -> Activity:
        """Return what the tasks that were accepted in ``period`` came to.

        Args:
            period: of acceptance.
            listed: how many of the slowest, and of the failed, at most.
        """

    def clean_up(self, what: CleanUp) -> AsyncGenerator[CleanUpPage, None]:
        """Delete what of the owner's is to go, and say so page by page.

        Each page is deleted for good before it is told. Done again, it goes on.
        """
