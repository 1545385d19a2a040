"""The task: its states, the moves between them, and its shapes along the way.

    PENDING → PROCESSING → COMPLETED
       │           ├─────→ FAILED
       └───────────┴─────→ CANCELLED

A retry stays PROCESSING in public. The same rules stand in the database as a
trigger and constraints; a test tries every pair against both.

Before: the API makes a ``NewTask`` of a request.
After: ``postgres.submission_store`` keeps it; ``postgres.task_store`` reads it back as a ``Task``.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum, StrEnum
from typing import NewType

TaskId = NewType("TaskId", int)
UserId = NewType("UserId", int)


class TaskStatus(StrEnum):
    """What a client may see of a task."""

    PENDING = "PENDING"
    """Accepted; no worker has claimed it yet."""
    PROCESSING = "PROCESSING"
    """Claimed at least once; a retry that waits for its time is still PROCESSING."""
    COMPLETED = "COMPLETED"
    """Done, with a result."""
    FAILED = "FAILED"
    """Ended for good without a result; ``error_code`` says why."""
    CANCELLED = "CANCELLED"
    """Ended because its owner asked for it."""

    @property
    def is_final(self) -> bool:
        """Whether the row may never change again."""
        return self in FINAL_STATUSES


FINAL_STATUSES = frozenset({TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.CANCELLED})

ALLOWED_MOVES = frozenset(
    {
        (TaskStatus.PENDING, TaskStatus.PENDING),
        (TaskStatus.PENDING, TaskStatus.PROCESSING),
        (TaskStatus.PENDING, TaskStatus.CANCELLED),
        (TaskStatus.PROCESSING, TaskStatus.PROCESSING),
        (TaskStatus.PROCESSING, TaskStatus.COMPLETED),
        (TaskStatus.PROCESSING, TaskStatus.FAILED),
        (TaskStatus.PROCESSING, TaskStatus.CANCELLED),
    }
)
"""Every move that the database lets a row make; an update that keeps the status is a move too."""


class ErrorCode(StrEnum):
    """Why a task failed, for machines."""

    HANDLER_ERROR = "HANDLER_ERROR"
    """The handler raised, or said that trying again is pointless."""
    INVALID_PAYLOAD = "INVALID_PAYLOAD"
    """The payload does not fit the type as this worker knows it."""
    INVALID_INPUT = "INVALID_INPUT"
    """A file that the task works on can't be used: damaged, of another kind, or too large."""
    INPUT_NOT_FOUND = "INPUT_NOT_FOUND"
    """The payload names a file that its owner does not have (any more)."""
    NOT_CONFIGURED = "NOT_CONFIGURED"
    """The type needs something that whoever runs the platform has not set up."""
    REFUSED = "REFUSED"
    """A server outside refused for good what the task asked of it."""
    RESULT_TOO_LARGE = "RESULT_TOO_LARGE"
    """The result passes what is kept of one task."""
    TIMEOUT = "TIMEOUT"
    """The last attempt took longer than ``timeout_seconds``."""
    WORKER_LOST = "WORKER_LOST"
    """The last attempt's worker, or its child process, died."""
    OUT_OF_MEMORY = "OUT_OF_MEMORY"
    """The last attempt's child process passed its memory limit."""
    ATTEMPTS_EXHAUSTED = "ATTEMPTS_EXHAUSTED"
    """No attempt was left and none had failed: the handler asked for another try, no worker knew
    the type, or workers had to stop before it ended."""
    CANCELLED = "CANCELLED"
    """Its owner asked for it."""


class TaskPriority(IntEnum):
    """Which of the tasks that are due goes first; kept as its number."""

    LOW = 0
    NORMAL = 1
    HIGH = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTask:
    """A task as accepted, complete before it is kept; nothing is added later."""

    user_id: UserId
    task_type: str
    payload: str
    """JSON text of an object, validated against the type's schema."""
    max_attempts: int
    timeout_seconds: int
    trace_context: str
    """A W3C ``traceparent``; the same one on every log line of this task."""
    priority: TaskPriority = TaskPriority.NORMAL
    run_at: datetime | None = None
    """Not before this time; None means at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSummary:
    """A task in a list: all but its payload, which may hold megabytes."""

    id: TaskId
    user_id: UserId
    task_type: str
    status: TaskStatus
    attempts: int
    max_attempts: int
    timeout_seconds: int
    priority: TaskPriority
    run_at: datetime | None
    """Not before this time; None means at once."""
    retry_of: TaskId | None
    """The failed task that this one runs again; at most one task for each."""
    last_event: int
    """The number of its latest event; every change has one, so it names a version of the row."""
    result_file: str | None
    error_code: str | None
    error_message: str | None
    trace_context: str
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    progress: float | None = None
    """Of the attempt that runs, from 0 to 1 as its handler says; None: none runs or it said
    nothing. Changes without an event."""
    progress_message: str | None = None
    """What the handler said beside it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task(TaskSummary):
    """A task as its owner may see it; one row of ``tasks``."""

    payload: str
    """JSON text of an object."""
