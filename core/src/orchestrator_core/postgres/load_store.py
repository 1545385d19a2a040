"""What the operator reads of Postgres, and the cordons that it writes.

Before: the operator knows where an orchestrator's Postgres is.
After: ``Load`` and ``WorkerPresence`` go to the operator's scaling loop; a cordoned worker
learns of it with its next report.
"""

from collections.abc import Collection
from uuid import UUID

from orchestrator_core.load import Load, WorkerPresence
from orchestrator_core.postgres.database import Database
from orchestrator_core.postgres.queries import load_statements

PRESENCE_SECONDS = 10.0
"""A worker reports every second; ten missed reports mean that it is gone or hung."""

CORDON_SECONDS = 30.0
"""Long against the operator's step of two seconds and its restart, short for a worker that waits
in vain because nobody is there any more to let it in."""

_SQL = load_statements("workers")


class LoadStore:
    """Reads the load and who carries it; writes nothing but cordons."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self) -> Load:
        """Return one reading.

        Raises:
            StoreUnavailableError: Postgres did not answer in time.
        """
        async with self._database.answering("read the load") as connection:
            return Load(**await connection.fetchrow(_SQL["read_load"]))

    async def workers(self) -> tuple[WorkerPresence, ...]:
        """Return the worker processes that reported in the last ten seconds or hold a lease.

        Oldest first.
        """
        async with self._database.answering("list workers") as connection:
            rows = await connection.fetch(_SQL["list_workers"], PRESENCE_SECONDS)
        return tuple(WorkerPresence(**row) for row in rows)

    async def cordon(self, worker_ids: Collection[UUID]) -> None:
        """Ask processes to take nothing new and go on with what they run; they are ready still.

        Holds for ``CORDON_SECONDS`` from each call: whoever wants it keeps calling.
        """
        if worker_ids:
            async with self._database.answering("cordon workers") as connection:
                await connection.execute(_SQL["cordon_workers"], list(worker_ids), CORDON_SECONDS)

    async def uncordon(self, worker_ids: Collection[UUID]) -> None:
        """Let cordoned processes take tasks again."""
        if worker_ids:
            async with self._database.answering("uncordon workers") as connection:
                await connection.execute(_SQL["uncordon_workers"], list(worker_ids))
