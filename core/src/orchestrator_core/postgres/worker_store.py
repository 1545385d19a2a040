"""What worker processes report: the task types they serve and their running totals.

Before: the worker's ``publish-types`` command and its heartbeat.
After: the API validates payloads against the types; ``load_store`` sums the totals.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from orchestrator_core.load import WorkerReport
from orchestrator_core.postgres.database import Database
from orchestrator_core.postgres.queries import load_statements

_SQL = load_statements("workers")


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskType:
    """A task type as the API needs to know it; one row of ``task_types``."""

    name: str
    payload_schema: str
    """JSON text of a JSON Schema (draft 2020-12) of an object."""
    timeout_seconds: int
    max_attempts: int


class WorkerStore:
    """The only way to the tables of workers and task types."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def publish_types(self, types: Sequence[TaskType]) -> None:
        """Make task types known, all or none. Types of other workers stay."""
        rows = [(t.name, t.payload_schema, t.timeout_seconds, t.max_attempts) for t in types]
        async with self._database.answering("publish task types") as connection:
            await connection.executemany(_SQL["publish_type"], rows)

    async def list_types(self) -> list[TaskType]:
        """Return every task type that some worker has published, by name."""
        async with self._database.answering("list task types") as connection:
            rows = await connection.fetch(_SQL["list_types"])
        return [TaskType(**row) for row in rows]

    async def report(self, worker_id: UUID, report: WorkerReport, *, pod_name: str) -> bool:
        """Say that this process lives, and what it does; return whether it is cordoned."""
        async with self._database.answering(f"report worker {worker_id}") as connection:
            is_cordoned: bool = await connection.fetchval(
                _SQL["report_worker"],
                worker_id,
                pod_name,
                report.completions,
                report.busy_seconds,
                report.slots,
                report.busy_slots,
                report.is_resting,
            )
        return is_cordoned

    async def prune(self) -> None:
        """Forget processes that have not reported for a day."""
        async with self._database.answering("prune workers") as connection:
            await connection.execute(_SQL["prune_workers"])
