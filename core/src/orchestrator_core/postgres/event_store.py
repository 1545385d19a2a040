"""The history of tasks, read as it grows.

Before: each transition has appended a row to ``task_events`` in its own transaction.
After: the API's ``events.feed`` tells whoever watches; ``announcing`` wakes the feeds.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator_core.events import EventPosition, TaskEvent, TaskProgress
from orchestrator_core.postgres.database import Database
from orchestrator_core.postgres.fractions import to_fraction
from orchestrator_core.postgres.queries import load_statements
from orchestrator_core.tasks import TaskId, TaskStatus, UserId

CHANNEL = "orchestrator_events"
"""Of Postgres: says that there are events which nobody has been told of, never which."""

MAX_RUNNING = 5_000
"""Attempts at a time whose progress is looked for by user; some 10 ms."""

_SQL = load_statements("events")


@dataclass(frozen=True, slots=True)
class EventPage:
    """Events of some users."""

    events: list[TaskEvent]
    """In the order of their positions."""
    end: EventPosition
    """Where looking ended; the next page begins after it."""
    is_more_coming: bool
    """Whether there are events after ``end``, told or still held back, whosoever."""


class EventStore:
    """The only way to the events of tasks."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read_of_tasks(self, marks: Mapping[TaskId, int], *, limit: int) -> list[TaskEvent]:
        """Return events of tasks, in the order of task and number.

        Args:
            marks: for each task the number of its last event known.
            limit: return no more than so many.
        """
        async with self._database.answering(f"read events of {len(marks)} tasks") as connection:
            rows = await connection.fetch(
                _SQL["read_events_of_tasks"], list(marks), list(marks.values()), limit
            )
        return [_to_event(row) for row in rows]

    async def read_page(
        self, user_ids: Iterable[UserId], *, after: EventPosition, max_scan: int
    ) -> EventPage:
        """Return what is new of some users, having looked at up to ``max_scan`` events of all."""
        async with self._database.answering("read new events") as connection:
            rows = await connection.fetch(
                _SQL["read_event_page"],
                after.transaction,
                after.task_id,
                after.seq,
                list(user_ids),
                max_scan,
            )
        *events, end = rows
        return EventPage(
            [_to_event(row) for row in events], _to_position(end), end["is_more_coming"]
        )

    async def read_progress(
        self, task_ids: Iterable[TaskId], user_ids: Iterable[UserId]
    ) -> list[TaskProgress]:
        """Return how far running attempts are, of some tasks and of all tasks of some users."""
        async with self._database.answering("read progress") as connection:
            rows = await connection.fetch(
                _SQL["read_progress"], list(task_ids), list(user_ids), MAX_RUNNING
            )
        return [_to_progress(row) for row in rows]

    async def read_horizon(self) -> EventPosition:
        """Return the position that everything told so far is below, and the rest is not."""
        async with self._database.answering("read the horizon of events") as connection:
            transaction = await connection.fetchval(_SQL["read_horizon"])
        return EventPosition(transaction=transaction, task_id=TaskId(0), seq=0)

    async def announce(self) -> None:
        """Say to every process that listens that there are new events."""
        async with self._database.answering("announce events") as connection:
            await connection.execute(_SQL["announce"], CHANNEL)


def _to_position(row: Mapping[str, Any]) -> EventPosition:
    return EventPosition(
        transaction=row["position"], task_id=TaskId(row["task_id"]), seq=row["seq"]
    )


def _to_progress(row: Mapping[str, Any]) -> TaskProgress:
    return TaskProgress(
        user_id=UserId(row["user_id"]),
        task_id=TaskId(row["task_id"]),
        fraction=to_fraction(float(row["progress"])),
        message=row["message"],
    )


def _to_event(row: Mapping[str, Any]) -> TaskEvent:
    return TaskEvent(
        position=_to_position(row),
        user_id=UserId(row["user_id"]),
        task_id=TaskId(row["task_id"]),
        seq=row["seq"],
        at=row["at"],
        status=TaskStatus(row["status"]),
        kind=row["kind"],
        reason=row["reason"],
    )
