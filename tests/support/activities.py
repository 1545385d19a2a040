"""An owner with a month of activity, as the database would tell it.

Before: a test of reports needs numbers that it can check by hand.
After: it draws them, or hands them to a handler through ``FixedOwner``.
"""

from collections.abc import AsyncGenerator
from datetime import UTC, date, datetime, timedelta

from orchestrator_core.owners import (
    Activity,
    CleanUp,
    CleanUpPage,
    DayCount,
    HistoryFilter,
    HistoryPage,
    Latencies,
    Period,
    TaskRecord,
    TypeCount,
)
from orchestrator_core.tasks import TaskId, TaskPriority, TaskStatus

STOP = datetime(2026, 5, 31, 14, 5, tzinfo=UTC)
MONTH = Period(start=STOP - timedelta(days=30), stop=STOP)
HOSTILE = "<b>bold</b> & <script>alert('x')</script> 画像 \u202eabc"


def a_record(task_id: int = 7, **fields: object) -> TaskRecord:
    facts: dict[str, object] = {
        "task_id": TaskId(task_id),
        "task_type": "IMAGE_RESIZE",
        "status": TaskStatus.COMPLETED,
        "priority": TaskPriority.NORMAL,
        "attempts": 1,
        "max_attempts": 3,
        "created_at": MONTH.start,
        "started_at": MONTH.start + timedelta(seconds=2),
        "finished_at": MONTH.start + timedelta(seconds=92),
        "result_file": None,
        "result_bytes": None,
        "error_code": None,
        "error_message": None,
        **fields,
    }
    return TaskRecord(**facts)  # type: ignore[arg-type]  # each has its field's type


def a_month(**fields: object) -> Activity:
    """Return 1,234 completed and 66 failed tasks on two days, of two types."""
    facts: dict[str, object] = {
        "period": MONTH,
        "read_at": STOP,
        "by_type": [
            TypeCount(task_type="IMAGE_RESIZE", status=TaskStatus.COMPLETED, tasks=1_000),
            TypeCount(task_type="send_email", status=TaskStatus.COMPLETED, tasks=234),
            TypeCount(task_type="send_email", status=TaskStatus.FAILED, tasks=66),
        ],
        "by_day": [
            DayCount(day=date(2026, 5, 2), status=TaskStatus.COMPLETED, tasks=1_000),
            DayCount(day=date(2026, 5, 31), status=TaskStatus.COMPLETED, tasks=234),
            DayCount(day=date(2026, 5, 31), status=TaskStatus.FAILED, tasks=66),
        ],
        "latencies": [
            Latencies(
                task_type="IMAGE_RESIZE",
                tasks=1_000,
                waiting_p50=0.012,
                waiting_p95=1.25,
                running_p50=0.3,
                running_p95=12.0,
                running_p99=3_960.0,
            )
        ],
        "slowest": [a_record(7)],
        "failed": [
            a_record(
                8,
                task_type="send_email",
                status=TaskStatus.FAILED,
                error_code="REFUSED",
                error_message=HOSTILE,
            )
        ],
        **fields,
    }
    return Activity(**facts)  # type: ignore[arg-type]  # each has its field's type


def an_empty_month() -> Activity:
    """Return the activity of an owner without any task."""
    return a_month(by_type=[], by_day=[], latencies=[], slowest=[], failed=[])


class FixedOwner:
    """An ``OwnersData`` that knows one activity and remembers what was asked for."""

    def __init__(self, activity: Activity) -> None:
        self._activity = activity
        self.asked: list[tuple[Period, int]] = []

    async def activity(self, period: Period, *, listed: int) -> Activity:
        self.asked.append((period, listed))
        return self._activity

    async def history(self, _: HistoryFilter) -> AsyncGenerator[HistoryPage, None]:
        yield HistoryPage(records=[a_record()], fraction=1.0)

    async def clean_up(self, _: CleanUp) -> AsyncGenerator[CleanUpPage, None]:
        yield CleanUpPage(removals=[], fraction=1.0)
