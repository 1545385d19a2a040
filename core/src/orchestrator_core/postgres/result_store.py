"""Results of tasks: their rows in Postgres, their bytes there or in an object store.

Each row says where its bytes are, so a platform that changed from one to the other serves
both. A key of the object store stands in a result's row or among the strays, from before
its object exists until after it is gone: a crash leaves nothing behind for ever.

Before: the worker expects an object and puts it; ``task_store`` settles the task with it.
After: the API streams it to the task's owner, and prunes what nobody has any more.
"""

from collections.abc import AsyncGenerator

from orchestrator_core.errors import StoreUnavailableError
from orchestrator_core.files import ObjectStore, TaskResult
from orchestrator_core.postgres.database import Database
from orchestrator_core.postgres.pieces import Content, read_pieces
from orchestrator_core.postgres.queries import load_statements
from orchestrator_core.tasks import TaskId

STRAY_SECONDS = 86_400.0
"""From an object's announcement until nobody settles with it any more, however slow its upload
was: the longest lease is an hour."""

_SQL = load_statements("files")


class PostgresResultStore:
    """A ``ResultStore`` beside the tasks themselves."""

    def __init__(self, database: Database, objects: ObjectStore | None = None) -> None:
        self._database = database
        self._objects = objects

    async def find(self, task_id: TaskId) -> TaskResult | None:
        """Return what is known of the task's result, or None."""
        async with self._database.answering(f"find result of task {task_id}") as connection:
            row = await connection.fetchrow(_SQL["find_result"], task_id)
        return None if row is None else TaskResult(**row)

    async def expect(self, key: str) -> None:
        """Remember an object that is about to be put; unless it becomes a result's, it goes."""
        async with self._database.answering(f"expect object {key}") as connection:
            await connection.execute(_SQL["expect_object"], key, STRAY_SECONDS)

    async def prune(self, *, limit: int) -> int:
        """Delete up to ``limit`` results that have expired; return how many."""
        async with self._database.answering("prune results") as connection:
            return len(await connection.fetch(_SQL["prune_results"], limit))

    async def prune_objects(self, *, limit: int) -> int:
        """Delete up to ``limit`` objects that are no result's any more; return how many."""
        if self._objects is None:
            return 0
        async with self._database.answering("find stray objects") as connection:
            keys = [row["key"] for row in await connection.fetch(_SQL["find_stray_objects"], limit)]
        if keys:
            # In this order: what is forgotten first would stay for ever after a crash.
            await self._objects.delete(keys)
            async with self._database.answering("forget objects") as connection:
                await connection.execute(_SQL["forget_objects"], keys)
        return len(keys)

    def read(self, result: TaskResult, *, start: int, stop: int) -> AsyncGenerator[bytes, None]:
        """Yield the bytes from ``start`` up to and without ``stop``, in pieces.

        Raises:
            StoreUnavailableError: not all of them could be read.
        """
        if result.object_key is not None:
            if self._objects is None:
                raise StoreUnavailableError(
                    "s3", f"read result of task {result.task_id}: no object store is configured"
                )
            return self._objects.read(result.object_key, start=start, stop=stop)
        content = Content(
            name=f"result of task {result.task_id}",
            key=result.task_id,
            statement=_SQL["read_result"],
        )
        return read_pieces(self._database, content, start=start, stop=stop)
