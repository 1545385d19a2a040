"""``REPORT_GENERATE`` and ``generate_report``: what a client may ask for.

Before: the API validated the payload against this model's JSON Schema.
After: ``gather`` has left the owner's activity in the attempt's folder, and ``report_pdf`` or
``report_html`` draws it, in a child process.
"""

from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import Annotated, Self

from pydantic import ConfigDict, Field, StringConstraints, TypeAdapter, model_validator

from orchestrator_core.attempts import ResultFile
from orchestrator_core.handlers import HandlerGroup, Payload, TaskContext
from orchestrator_core.owners import Activity, Period

MAX_DAYS = 366
LISTED = 10
"""Of the slowest tasks, and of the failed."""
ACTIVITY = "activity.json"
TIMEOUT_SECONDS = 120
MEMORY_BYTES = 1 << 30

ACTIVITIES = TypeAdapter(Activity)

Title = Annotated[str, StringConstraints(max_length=100, pattern=r"^[^\x00-\x1f\x7f]*$")]


class ReportFormat(StrEnum):
    """What the report is drawn as."""

    PDF = "pdf"
    """A4 pages."""
    HTML = "html"
    """One page that needs nothing else; it prints well, too."""


class GenerateReport(Payload):
    """A report of your own tasks: how many, how fast, which failed. By default the last 30 days.

    The period is `days` up to now, or the days `from_date` to `to_date`, both of them included, in
    UTC. A task belongs to the day on which it was accepted.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [{"days": 7, "format": "pdf"}, {}]})

    days: int | None = Field(
        default=None, ge=1, le=MAX_DAYS, description="So many days up to now", examples=[7]
    )
    from_date: date | None = Field(
        default=None, description="The first day", examples=["2026-05-01"]
    )
    to_date: date | None = Field(
        default=None, description="The last day; today if absent", examples=["2026-05-31"]
    )
    format: ReportFormat = Field(default=ReportFormat.PDF, description="`pdf` or `html`")
    title: Title = Field(default="Task report", description="One line", examples=["Images, May"])

    @model_validator(mode="after")
    def _span_once(self) -> Self:
        if self.days is not None and (self.from_date or self.to_date):
            raise ValueError("give days, or from_date and to_date, not both")
        if self.to_date is not None and self.from_date is None:
            raise ValueError("to_date needs from_date")
        if self.from_date and self.to_date:
            if self.from_date > self.to_date:
                raise ValueError("from_date is after to_date")
            if (self.to_date - self.from_date).days >= MAX_DAYS:
                raise ValueError(f"the period has more than {MAX_DAYS} days")
        return self


def to_period(payload: GenerateReport, *, now: datetime) -> Period:
    """Return the period that a payload means."""
    if payload.from_date is None:
        return Period(start=now - timedelta(days=payload.days or 30), stop=now)
    last = payload.to_date or max(now.date(), payload.from_date)
    last = min(last, payload.from_date + timedelta(days=MAX_DAYS - 1))
    return Period(start=_midnight(payload.from_date), stop=_midnight(last + timedelta(days=1)))


async def gather(payload: GenerateReport, context: TaskContext) -> None:
    """Leave the owner's activity in the folder."""
    period = to_period(payload, now=datetime.now(UTC))
    activity = await context.owner.activity(period, listed=LISTED)
    (context.folder / ACTIVITY).write_bytes(ACTIVITIES.dump_json(activity))


def generate_report(payload: GenerateReport, context: TaskContext) -> ResultFile:
    """Draw the report."""
    # Drawn in children only: the libraries take half a second to import.
    import orchestrator_worker.builtin.report_html as page  # noqa: PLC0415
    import orchestrator_worker.builtin.report_pdf as pages  # noqa: PLC0415
    from orchestrator_worker.builtin.report_figures import to_figures  # noqa: PLC0415

    context.report(0.3, "drawing")
    activity = ACTIVITIES.validate_json((context.folder / ACTIVITY).read_bytes())
    figures = to_figures(activity, title=payload.title)
    if payload.format is ReportFormat.HTML:
        content, media_type = page.draw(figures).encode(), "text/html; charset=utf-8"
    else:
        content, media_type = pages.draw(figures), "application/pdf"
    context.report(1.0, "drawn")
    return ResultFile(
        content=content, content_type=media_type, file_name=f"report.{payload.format}"
    )


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), tzinfo=UTC)


def register(handlers: HandlerGroup) -> None:
    """Offer both of the original service's names."""
    handlers.register(
        "REPORT_GENERATE",
        "generate_report",
        payload=GenerateReport,
        timeout_seconds=TIMEOUT_SECONDS,
        memory_bytes=MEMORY_BYTES,
        gather=gather,
    )(generate_report)
