"""Results of tasks in Postgres, read piece by piece.

Before: ``task_store`` has settled a task together with its file.
After: the API streams it to the task's owner.
"""

from collections.abc import AsyncGenerator

from orchestrator_core.files import TaskResult
from orchestrator_core.postgres.database import Database
from orchestrator_core.postgres.pieces import Content, read_pieces
from orchestrator_core.postgres.queries import load_statements
from orchestrator_core.tasks import TaskId

_SQL = load_statements("files")


class PostgresResultStore:
    """A ``ResultStore`` beside the tasks themselves."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, task_id: TaskId) -> TaskResult | None:
        """Return what is known of the task's result, or None."""
        async with self._database.answering(f"find result of task {task_id}") as connection:
            row = await connection.fetchrow(_SQL["find_result"], task_id)
        return None if row is None else TaskResult(**row)

    async def prune(self, *, limit: int) -> int:
        """Delete up to ``limit`` results that have expired; return how many."""
        async with self._database.answering("prune results") as connection:
            return len(await connection.fetch(_SQL["prune_results"], limit))

    def read(self, result: TaskResult, *, start: int, stop: int) -> AsyncGenerator[bytes, None]:
        """Yield the bytes from ``start`` up to and without ``stop``, in pieces."""
        content = Content(
            name=f"result of task {result.task_id}",
            key=result.task_id,
            statement=_SQL["read_result"],
        )
        return read_pieces(self._database, content, start=start, stop=stop)
