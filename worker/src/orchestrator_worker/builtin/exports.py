"""``DATA_EXPORT``: what a client may ask for.

Before: the API validated the payload against this model's JSON Schema.
After: ``gather`` has left the owner's tasks in the folder, or ``supplying`` the table that
was uploaded; ``exporting`` converts it, in a child process.
"""

import json
from datetime import UTC, datetime
from enum import StrEnum
from typing import Self

from pydantic import AwareDatetime, ConfigDict, Field, model_validator

from orchestrator_core.attempts import ResultOnDisk
from orchestrator_core.handlers import HandlerGroup, Payload, TaskContext
from orchestrator_core.owners import HistoryFilter, TaskRecord
from orchestrator_core.tasks import TaskStatus
from orchestrator_worker.builtin.sources import FileSource, find_file, name_file

MAX_FILTERS = 20
MAX_COLUMNS = 2_000
MAX_VALUES = 1_000
TASKS = "tasks.jsonl"
"""In the attempt's folder."""
TIMEOUT_SECONDS = 900
MEMORY_BYTES = 4 * 1024**3
"""Address space, of which a gigabyte of CSV takes 1.7 GB and uses 280 MB."""
GATHERED = 0.3
"""Of the progress, when the tasks are read and not yet converted."""


class TableFormat(StrEnum):
    """How a table is written."""

    CSV = "csv"
    JSONL = "jsonl"
    PARQUET = "parquet"


class Comparison(StrEnum):
    """How a cell is compared with a filter's value."""

    EQ = "eq"
    NE = "ne"
    LT = "lt"
    LE = "le"
    GT = "gt"
    GE = "ge"
    CONTAINS = "contains"
    IN = "in"
    IS_NULL = "is_null"
    NOT_NULL = "not_null"


Scalar = str | int | float | bool


class ColumnFilter(Payload):
    """Keep the rows whose cell in one column is as said.

    A number is compared with the cell's number, also where cells are text, as in CSV; a text with
    the cell's text, or with its time where the column holds times.
    """

    column: str = Field(max_length=1_000, description="Its name", examples=["status"])
    op: Comparison = Field(
        default=Comparison.EQ,
        description="`contains` is of text, `in` takes a list, `is_null` and `not_null` no value",
    )
    value: Scalar | tuple[Scalar, ...] | None = Field(
        default=None, description="What to compare with", examples=["FAILED"]
    )

    @model_validator(mode="after")
    def _fit(self) -> Self:
        if self.op in (Comparison.IS_NULL, Comparison.NOT_NULL):
            if self.value is not None:
                raise ValueError(f"{self.op} takes no value")
        elif self.op is Comparison.IN:
            if not isinstance(self.value, tuple) or not 0 < len(self.value) <= MAX_VALUES:
                raise ValueError(f"in takes a list of 1 to {MAX_VALUES} values")
        elif self.value is None or isinstance(self.value, tuple):
            raise ValueError(f"{self.op} takes one value")
        if self.op is Comparison.CONTAINS and not isinstance(self.value, str):
            raise ValueError("contains takes a text")
        return self


class DataExport(FileSource):
    """Write your tasks, or a table that you uploaded, as CSV, JSON Lines or Parquet.

    Without `file_id` and `source_url`, the table is your own tasks. With one of them it is a CSV
    file (UTF-8, with a header), JSON Lines or Parquet, recognised by its content. Columns of a CSV
    file are text; those of JSON Lines get the type that the first 10,000 lines have.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"format": "csv", "statuses": ["FAILED"], "columns": ["task_id", "error_message"]},
                {
                    "file_id": 7,
                    "format": "parquet",
                    "filters": [{"column": "price", "op": "ge", "value": 100}],
                },
                {},
            ]
        }
    )

    format: TableFormat = Field(
        default=TableFormat.CSV, description="Of the result: `csv`, `jsonl` or `parquet`"
    )
    columns: tuple[str, ...] | None = Field(
        default=None,
        min_length=1,
        max_length=MAX_COLUMNS,
        description="Only these, in this order",
        examples=[["task_id", "status"]],
    )
    filters: tuple[ColumnFilter, ...] = Field(
        default=(), max_length=MAX_FILTERS, description="Only rows that pass all of them"
    )
    escape_formulas: bool = Field(
        default=False,
        description=(
            "For CSV that a spreadsheet will open: an apostrophe is put before each text that"
            " begins with =, +, -, @, a tab or a carriage return"
        ),
    )
    statuses: tuple[TaskStatus, ...] | None = Field(
        default=None,
        min_length=1,
        max_length=len(TaskStatus),
        description="Of your tasks, only those in these states",
        examples=[["FAILED"]],
    )
    task_types: tuple[str, ...] | None = Field(
        default=None,
        min_length=1,
        max_length=100,
        description="Of your tasks, only those of these types",
        examples=[["IMAGE_RESIZE"]],
    )
    created_from: AwareDatetime | None = Field(
        default=None,
        description="Of your tasks, only those accepted at this time or later",
        examples=["2026-05-01T00:00:00Z"],
    )
    created_before: AwareDatetime | None = Field(
        default=None, description="Of your tasks, only those accepted before this time"
    )

    @model_validator(mode="after")
    def _filter_own_tasks_only(self) -> Self:
        own = (self.statuses, self.task_types, self.created_from, self.created_before)
        if self.is_given and any(each is not None for each in own):
            raise ValueError(
                "statuses, task_types, created_from and created_before are about your tasks, not"
                " about a file: use filters"
            )
        return self


async def gather(payload: DataExport, context: TaskContext) -> None:
    """Leave the owner's tasks in the folder, page by page, unless a file is exported."""
    if payload.is_given:
        return
    wanted = HistoryFilter(
        statuses=payload.statuses,
        task_types=payload.task_types,
        created_from=payload.created_from,
        created_before=payload.created_before,
    )
    with (context.folder / TASKS).open("w", encoding="utf-8") as file:
        async for page in context.owner.history(wanted):
            file.writelines(to_line(record) for record in page.records)
            context.report(page.fraction * GATHERED, "reading your tasks")


def to_line(record: TaskRecord) -> str:
    """Return a task as one line of JSON."""
    fields = {name: _to_json(getattr(record, name)) for name in TaskRecord.__slots__}
    return json.dumps(fields) + "\n"


def _to_json(value: object) -> object:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return value


def export(payload: DataExport, context: TaskContext) -> ResultOnDisk:
    """Convert the table."""
    from orchestrator_worker.builtin import exporting  # noqa: PLC0415 - PyArrow only in children

    return exporting.export(payload, context, find_file(context))


def register(handlers: HandlerGroup) -> None:
    """Offer the original service's name."""
    handlers.register(
        "DATA_EXPORT",
        payload=DataExport,
        timeout_seconds=TIMEOUT_SECONDS,
        memory_bytes=MEMORY_BYTES,
        inputs=name_file,
        gather=gather,
    )(export)
