"""The facts that a task is explained by, read at one instant and however deep the backlog.

Before: the API knows whose task it is.
After: its ``explanations`` decide what the facts mean.
"""

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from orchestrator_core.errors import TaskNotFoundError
from orchestrator_core.explanations import (
    HistoryEvent,
    PoolFacts,
    QueuePlace,
    Standing,
    TaskFacts,
    WorkerTrace,
)
from orchestrator_core.pools import PodEnd, PoolReport
from orchestrator_core.postgres.database import Database
from orchestrator_core.postgres.fractions import to_fraction
from orchestrator_core.postgres.load_store import PRESENCE_SECONDS
from orchestrator_core.postgres.queries import load_statements
from orchestrator_core.tasks import TaskId, TaskPriority, TaskStatus

MAX_COUNTED = 10_000
"""Of those that wait; some 3 ms. Whoever stands behind so many has time."""
MEASURED_EVENTS = 500
"""The latest of all tasks; some 2 ms, and more than a hundred attempts."""
MAX_EVENTS = 200
"""Of the task; it has two for each attempt, and seldom more than ten."""
MAX_ENDS = 4
"""Of one worker process: its container's and its pod's."""

_SQL = load_statements("explanations")
_OF_REPORT = (
    "mode",
    "min_replicas",
    "max_replicas",
    "desired_replicas",
    "slots_per_pod",
    "pod_start_seconds",
    "limited_message",
    "held_message",
)
_OF_END = (
    "pod_uid",
    "pod_name",
    "container",
    "began_at",
    "ended_at",
    "reason",
    "exit_code",
    "message",
)


class ExplanationStore:
    """Reads; writes nothing."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self, task_id: TaskId) -> TaskFacts:
        """Return all that is known of a task now.

        Raises:
            TaskNotFoundError: it is gone.
            StoreUnavailableError: Postgres did not answer in time.
        """
        async with (
            self._database.answering(f"explain task {task_id}") as connection,
            # One snapshot: a task that moves meanwhile would be told of in two states.
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            row = await connection.fetchrow(_SQL["read_standing"], task_id)
            if row is None:
                raise TaskNotFoundError(task_id)
            standing = _to_standing(row)
            events = await connection.fetch(_SQL["read_history"], task_id, MAX_EVENTS)
            worker_ids = list(_worker_ids(standing, events))
            return TaskFacts(
                standing=standing,
                place=await _read_place(connection, standing),
                pool=await _read_pool(connection, standing),
                events=tuple(HistoryEvent(**each) for each in reversed(events)),
                workers=_to_traces(
                    await connection.fetch(_SQL["read_traces"], worker_ids, MAX_ENDS)
                    if worker_ids
                    else ()
                ),
            )


async def _read_place(connection: Any, standing: Standing) -> QueuePlace | None:  # noqa: ANN401 - asyncpg's
    if standing.is_leased or not standing.is_due:
        return None
    row = await connection.fetchrow(
        _SQL["read_place"], standing.priority, standing.due_at, MAX_COUNTED, standing.task_id
    )
    # One whose lease is over is not counted among those that wait until the sweep has seen it.
    return QueuePlace(
        ahead=row["ahead"],
        waiting=max(row["waiting"], row["ahead"] + 1),
        is_counted_out=max(row["ahead"], row["waiting"]) >= MAX_COUNTED,
    )


async def _read_pool(connection: Any, standing: Standing) -> PoolFacts | None:  # noqa: ANN401 - asyncpg's
    if standing.status.is_final:
        return None
    row = await connection.fetchrow(_SQL["read_pool"], PRESENCE_SECONDS, MEASURED_EVENTS)
    is_told = row["told_at"] is not None
    return PoolFacts(
        workers=row["workers"],
        slots=row["slots"],
        busy_slots=row["busy_slots"],
        measured_attempts=row["measured_attempts"],
        mean_run_seconds=row["mean_run_seconds"],
        report=PoolReport(**{name: row[name] for name in _OF_REPORT}) if is_told else None,
        told_at=row["told_at"],
    )


def _to_standing(row: Mapping[str, Any]) -> Standing:
    fields = {
        **row,
        "status": TaskStatus(row["status"]),
        "priority": TaskPriority(row["priority"]),
        "progress": to_fraction(row["progress"]),
    }
    return Standing(**fields)


def _worker_ids(standing: Standing, events: Iterable[Mapping[str, Any]]) -> set[UUID]:
    claimed = {UUID(each["actor"]) for each in events if each["kind"] == "CLAIMED"}
    return claimed | ({standing.lease_owner} if standing.lease_owner else set())


def _to_traces(rows: Iterable[Mapping[str, Any]]) -> dict[UUID, WorkerTrace]:
    traces: dict[UUID, WorkerTrace] = {}
    for row in rows:
        before = traces.get(row["worker_id"])
        ends = before.ends if before else ()
        if row["pod_uid"] is not None:
            ends = (*ends, PodEnd(**{name: row[name] for name in _OF_END}))
        traces[row["worker_id"]] = WorkerTrace(
            pod_name=row["pod_name"], seen_at=row["seen_at"], ends=ends
        )
    return traces
