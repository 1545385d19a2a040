"""Events and positions with sensible defaults, so that a test names only what it is about.

Before: a test needs history.
After: it offers that to the part that it tests.
"""

from datetime import UTC, datetime
from typing import Any

from orchestrator_core.events import EventPosition, TaskEvent, TaskProgress
from orchestrator_core.tasks import TaskId, TaskStatus, UserId


def a_position(transaction: int = 1, task_id: int = 0, seq: int = 0) -> EventPosition:
    return EventPosition(transaction=transaction, task_id=TaskId(task_id), seq=seq)


def an_event(seq: int = 1, *, transaction: int | None = None, **fields: Any) -> TaskEvent:
    """Return an event of task 1 of user 1; its transaction has its number unless told."""
    facts = {
        "user_id": UserId(1),
        "task_id": TaskId(1),
        "at": datetime(2026, 1, 1, tzinfo=UTC),
        "status": TaskStatus.PROCESSING,
        "kind": "CLAIMED",
        "reason": None,
        **fields,
    }
    position = a_position(seq if transaction is None else transaction, facts["task_id"], seq)
    return TaskEvent(position=position, seq=seq, **facts)


def a_progress(fraction: float = 0.5, **fields: Any) -> TaskProgress:
    """Return progress of task 1 of user 1."""
    facts = {"user_id": UserId(1), "task_id": TaskId(1), "message": None, **fields}
    return TaskProgress(fraction=fraction, **facts)


def seq_of(news: TaskEvent | TaskProgress | None) -> int | None:
    """Return the number of an event; None if it is none."""
    return news.seq if isinstance(news, TaskEvent) else None
