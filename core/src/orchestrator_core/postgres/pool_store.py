"""What the operator tells of a pool of workers, kept for those who explain tasks.

Before: the operator's ``recording`` has something to tell.
After: ``explanation_store`` reads it; the API's ``pruning`` forgets old ends of pods.
"""

from collections.abc import Sequence
from dataclasses import astuple

from orchestrator_core.pools import PodEnd, PoolReport
from orchestrator_core.postgres.database import Database
from orchestrator_core.postgres.queries import load_statements

POD_ENDS_KEPT_SECONDS = 7 * 86_400.0
"""Who looks on Monday still learns what happened to Friday's tasks."""

_SQL = load_statements("pools")


class PoolStore:
    """Writes what only the operator sees."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def tell(self, report: PoolReport) -> None:
        """Keep ``report`` instead of the one before.

        Raises:
            StoreUnavailableError: also where the schema is of an older version.
        """
        async with self._database.answering("tell of the pool") as connection:
            await connection.execute(_SQL["tell_pool"], *astuple(report))

    async def record_ends(self, ends: Sequence[PodEnd]) -> None:
        """Keep how pods ended; what is known already stays as it is.

        Raises:
            StoreUnavailableError: also where the schema is of an older version.
        """
        columns = zip(*(_to_row(end) for end in ends), strict=True)
        async with self._database.answering(f"record {len(ends)} ends of pods") as connection:
            await connection.execute(_SQL["record_pod_ends"], *columns)

    async def prune(self, *, limit: int) -> int:
        """Forget at most ``limit`` ends that nobody asks about any more; return how many."""
        async with self._database.answering("prune ends of pods") as connection:
            status: str = await connection.execute(
                _SQL["prune_pod_ends"], POD_ENDS_KEPT_SECONDS, limit
            )
        return int(status.removeprefix("DELETE "))


def _to_row(end: PodEnd) -> tuple[object, ...]:
    """Return one row of ``record_pod_ends``' columns, in their order."""
    return (
        end.pod_uid,
        end.pod_name,
        end.container,
        end.began_at,
        end.ended_at,
        end.reason,
        end.exit_code,
        end.message,
    )
