"""When the doorbell rings, as Postgres knows it.

Every replica's sweep takes rings here at the same time; what another one has locked is
skipped, so that nothing rings twice and nobody waits.

Before: submissions, claims and settlements leave in ``live_tasks`` when to ring next.
After: the API's ``dispatching`` rings for the tasks it is given.
"""

from collections.abc import Sequence

from orchestrator_core.postgres.database import Database
from orchestrator_core.postgres.queries import load_statements
from orchestrator_core.tasks import TaskId

MAX_LOOK = 20_000
"""Waiting tasks of each priority that one statement looks at, some 10 ms, however deep the backlog:
who stands behind so many is not near its turn."""

_SQL = load_statements("rings")


class RingStore:
    """The only way to what rings again. All raise ``StoreUnavailableError``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def fail_exhausted(self, *, limit: int) -> list[TaskId]:
        """End tasks that lost the lease of their last attempt; return them."""
        async with self._database.answering("fail exhausted tasks") as connection:
            rows = await connection.fetch(_SQL["fail_exhausted"], limit)
        return [TaskId(row["id"]) for row in rows]

    async def take_first_rings(
        self, *, limit: int, ring_after_seconds: float, spare_leases: bool = False
    ) -> list[TaskId]:
        """Take what has not rung since it became due or lost its lease: it surely needs a ring.

        Each comes back as a repetition after ``ring_after_seconds``, unless it is claimed.

        Args:
            limit: tasks at most.
            ring_after_seconds: until the repetition.
            spare_leases: leave alone what is leased, also where the lease ran out.
        """
        return await self._take("take_first_rings", limit, ring_after_seconds, spare_leases)

    async def has_due_repeats(self) -> bool:
        """Return whether anything waits that rang so long ago that it might ring again."""
        async with self._database.answering("look for due repetitions") as connection:
            return bool(await connection.fetchval(_SQL["has_due_repeats"], MAX_LOOK))

    async def count_waiting(self, *, limit: int) -> int:
        """Return how many tasks are due and held by nobody, counted up to ``limit``."""
        async with self._database.answering("count waiting tasks") as connection:
            return int(await connection.fetchval(_SQL["count_waiting"], limit))

    async def take_repeats(self, *, limit: int, ring_after_seconds: float) -> list[TaskId]:
        """Take what waits and rang long ago, in the order in which it will be claimed."""
        return await self._take("take_repeats", limit, ring_after_seconds, MAX_LOOK)

    async def take_overtaken(
        self, *, limit: int, ring_after_seconds: float, by_seconds: float, silent_seconds: float
    ) -> list[TaskId]:
        """Take what waits while tasks of its priority run that became due ``by_seconds`` later.

        Only those whose ring has been due for ``silent_seconds``.
        """
        return await self._take(
            "take_overtaken", limit, ring_after_seconds, MAX_LOOK, by_seconds, silent_seconds
        )

    async def find_trace_contexts(self, task_ids: Sequence[TaskId]) -> list[str]:
        """Return the trace contexts of tasks, in no order."""
        async with self._database.answering("find trace contexts") as connection:
            rows = await connection.fetch(_SQL["find_trace_contexts"], task_ids)
        return [row["trace_context"] for row in rows]

    async def _take(self, statement: str, *arguments: object) -> list[TaskId]:
        async with self._database.answering(statement.replace("_", " ")) as connection:
            rows = await connection.fetch(_SQL[statement], *arguments)
        return [TaskId(row["task_id"]) for row in rows]
