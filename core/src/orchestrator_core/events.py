"""Events: every transition of a task, and the progress between, as its owner may watch it.

Before: each transition appends a row to ``task_events`` in its own transaction.
After: ``orchestrator_api.events`` tells whoever watches.
"""

from dataclasses import dataclass
from datetime import datetime

from orchestrator_core.tasks import TaskId, TaskStatus, UserId


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class EventPosition:
    """Where an event stands among those of all tasks.

    ``transaction`` is the id of the transaction that wrote it. Events are told only
    once every transaction with a lower id has ended, so a position once told is never
    overtaken by an event that commits later.
    """

    transaction: int
    task_id: TaskId
    seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskEvent:
    """One transition."""

    position: EventPosition
    user_id: UserId
    task_id: TaskId
    seq: int
    """1 for the first of its task; without gaps."""
    at: datetime
    status: TaskStatus
    kind: str
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskProgress:
    """How far the attempt that runs is. No transition: only the latest one is of interest."""

    user_id: UserId
    task_id: TaskId
    fraction: float
    """From 0 to 1."""
    message: str | None
