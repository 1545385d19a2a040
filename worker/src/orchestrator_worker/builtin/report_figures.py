"""What a report says, before anything is drawn: pure, from ``Activity`` to ``Figures``.

Before: ``reports`` has read the owner's activity.
After: ``report_pdf`` and ``report_html`` draw the same figures.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from orchestrator_core.owners import Activity, Latencies, TaskRecord
from orchestrator_core.tasks import TaskStatus

STATES = (
    TaskStatus.COMPLETED,
    TaskStatus.FAILED,
    TaskStatus.CANCELLED,
    TaskStatus.PROCESSING,
    TaskStatus.PENDING,
)
"""In the order in which they are shown, and stacked from below."""

COLOURS = {
    TaskStatus.COMPLETED: "#2f7d5b",
    TaskStatus.FAILED: "#c2410c",
    TaskStatus.CANCELLED: "#9ca3af",
    TaskStatus.PROCESSING: "#3b6fb6",
    TaskStatus.PENDING: "#b6cbe8",
}
MAX_REASON_LENGTH = 160
GAP = 0.2
"""Of a bar's place in the chart, left free."""
MAX_LABELS = 8
NOTHING = "–"


@dataclass(frozen=True, slots=True, kw_only=True)
class Headline:
    """One large figure and what it is."""

    value: str
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows under a header; the first column is text, the others are flushed right."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """A bar of the chart."""

    day: date
    tasks: Sequence[int]
    """By state, in the order of ``STATES``."""

    @property
    def total(self) -> int:
        """Return the bar's height."""
        return sum(self.tasks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """A task worth a look."""

    task: str
    when: str
    what: str
    """How long it ran, or why it failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """A whole report."""

    title: str
    period: str
    read_at: str
    headlines: Sequence[Headline]
    days: Sequence[Day]
    states: Sequence[TaskStatus]
    """Those that occur at all, for the legend."""
    by_type: Table
    latencies: Table
    slowest: Sequence[Incident]
    failed: Sequence[Incident]

    @property
    def is_empty(self) -> bool:
        """Whether there was no task at all."""
        return not self.by_type.rows


def to_figures(activity: Activity, *, title: str) -> Figures:
    """Return what the report says."""
    days = _to_days(activity)
    totals = [sum(day.tasks[n] for day in days) for n in range(len(STATES))]
    return Figures(
        title=title,
        period=f"{_day(activity.period.start)} to {_last_day(activity)} (UTC)",
        read_at=f"{activity.read_at:%Y-%m-%d %H:%M} UTC",
        headlines=_to_headlines(activity, dict(zip(STATES, totals, strict=True))),
        days=days,
        states=[state for state, total in zip(STATES, totals, strict=True) if total],
        by_type=_count_by_type(activity),
        latencies=Table(
            header=("Type", "Completed", "Waited p50", "p95", "Ran p50", "p95", "p99"),
            rows=[_to_latency_row(each) for each in activity.latencies],
        ),
        slowest=[_to_slow(each) for each in activity.slowest],
        failed=[_to_failure(each) for each in activity.failed],
    )


def seconds_text(seconds: float) -> str:
    """Write a length of time so that people can compare it."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:  # noqa: PLR2004 - a minute
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def axis_top(days: Iterable[Day]) -> int:
    """Return a round number at or above every bar: 1, 2 or 5 times a power of ten."""
    highest = max((day.total for day in days), default=0)
    step = 1
    while True:
        for factor in (1, 2, 5):
            if factor * step >= highest:
                return factor * step
        step *= 10


def grid_values(top: int) -> list[int]:
    """Return where the chart has lines: at the bottom, in the middle, at the top."""
    return sorted({0, top // 2, top})


def is_labelled(number: int, days: Sequence[Day]) -> bool:
    """Whether the bar of this number, from 0, gets its date below it."""
    return number % -(-len(days) // MAX_LABELS) == 0


def _to_days(activity: Activity) -> list[Day]:
    """Return every day of the period, those without a task too."""
    counts = {(each.day, each.status): each.tasks for each in activity.by_day}
    first, last = activity.period.start.date(), _last_day(activity)
    return [
        Day(day=day, tasks=[counts.get((day, state), 0) for state in STATES])
        for day in (first + timedelta(days=n) for n in range((last - first).days + 1))
    ]


def _last_day(activity: Activity) -> date:
    return (activity.period.stop - timedelta(microseconds=1)).date()


def _to_headlines(activity: Activity, totals: dict[TaskStatus, int]) -> list[Headline]:
    ended = totals[TaskStatus.COMPLETED] + totals[TaskStatus.FAILED]
    rate = f"{totals[TaskStatus.COMPLETED] / ended:.1%}" if ended else NOTHING
    slowest = max((each.running_p95 for each in activity.latencies), default=None)
    return [
        Headline(value=f"{sum(totals.values()):,}", label="accepted"),
        Headline(value=f"{totals[TaskStatus.COMPLETED]:,}", label="completed"),
        Headline(value=f"{totals[TaskStatus.FAILED]:,}", label="failed"),
        Headline(value=rate, label="of those that ended succeeded"),
        Headline(
            value=NOTHING if slowest is None else seconds_text(slowest),
            label="p95 of the slowest type",
        ),
    ]


def _count_by_type(activity: Activity) -> Table:
    counts = {(each.task_type, each.status): each.tasks for each in activity.by_type}
    types = sorted({task_type for task_type, _ in counts})
    rows = [[counts.get((each, state), 0) for state in STATES] for each in types]
    return Table(
        header=("Type", *(state.capitalize() for state in STATES), "All"),
        rows=[
            (name, *(f"{number:,}" for number in row), f"{sum(row):,}")
            for name, row in zip(types, rows, strict=True)
        ],
    )


def _to_latency_row(each: Latencies) -> Sequence[str]:
    times = (
        each.waiting_p50,
        each.waiting_p95,
        each.running_p50,
        each.running_p95,
        each.running_p99,
    )
    return (each.task_type, f"{each.tasks:,}", *map(seconds_text, times))


def _to_slow(task: TaskRecord) -> Incident:
    if task.started_at is None or task.finished_at is None:
        raise ValueError(f"task {task.task_id} has not run: it can't be among the slowest")
    ran = (task.finished_at - task.started_at).total_seconds()
    attempts = "" if task.attempts == 1 else f", {task.attempts} attempts"
    return _to_incident(task, f"{seconds_text(ran)}, {task.status.lower()}{attempts}")


def _to_failure(task: TaskRecord) -> Incident:
    reason = " ".join((task.error_message or "").split())
    if len(reason) > MAX_REASON_LENGTH:
        reason = f"{reason[: MAX_REASON_LENGTH - 1]}…"
    return _to_incident(task, f"{task.error_code}: {reason}")


def _to_incident(task: TaskRecord, what: str) -> Incident:
    return Incident(
        task=f"{task.task_type} {task.task_id}",
        when=_moment(task.finished_at or task.created_at),
        what=what,
    )


def _day(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d}"


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}"
