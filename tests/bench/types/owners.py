"""An owner with a month of activity, in memory, for what is measured without the platform.

Before: ``directly`` calls a handler that asks for its owner's data.
After: it gets the same each time, and no store is waited for.
"""

from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta

from orchestrator_core.owners import (
    Activity,
    CleanUp,
    CleanUpPage,
    DayCount,
    HistoryFilter,
    HistoryPage,
    Latencies,
    Period,
    TypeCount,
)
from orchestrator_core.tasks import TaskStatus

NOW = datetime(2026, 1, 31, tzinfo=UTC)
DAYS = 30
TYPES = ("DATA_EXPORT", "IMAGE_RESIZE", "VIDEO_PROCESS")


class AnOwner:
    """An ``OwnersData`` without files, with tasks of three types on each day."""

    async def history(self, _: HistoryFilter) -> AsyncGenerator[HistoryPage, None]:
        """Yield nothing: exports are measured with files."""
        yield HistoryPage(records=[], fraction=1.0)

    async def activity(self, period: Period, *, listed: int) -> Activity:
        """Return a month's numbers."""
        _ = listed
        return Activity(
            period=period,
            read_at=NOW,
            by_type=[
                TypeCount(task_type=each, status=TaskStatus.COMPLETED, tasks=1_000)
                for each in TYPES
            ],
            by_day=[
                DayCount(
                    day=(NOW - timedelta(days=day)).date(), status=TaskStatus.COMPLETED, tasks=100
                )
                for day in range(DAYS)
            ],
            latencies=[
                Latencies(
                    task_type=each,
                    tasks=1_000,
                    waiting_p50=0.01,
                    waiting_p95=0.2,
                    running_p50=0.5,
                    running_p95=2.0,
                    running_p99=4.0,
                )
                for each in TYPES
            ],
            slowest=[],
            failed=[],
        )

    async def clean_up(self, _: CleanUp) -> AsyncGenerator[CleanUpPage, None]:
        """Yield nothing: nothing is stale."""
        yield CleanUpPage(removals=[], fraction=1.0)
