"""Convert a table part by part: what is in memory never grows with the table.

Before: ``exports`` has a payload, and a file or the owner's tasks in the folder.
After: the result lies in the folder.
"""

import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from orchestrator_core.attempts import ResultOnDisk
from orchestrator_core.handlers import TaskContext
from orchestrator_worker.builtin import table_filters
from orchestrator_worker.builtin.exports import GATHERED, TASKS, DataExport, TableFormat
from orchestrator_worker.builtin.json_tables import JsonTable
from orchestrator_worker.builtin.results import require_size
from orchestrator_worker.builtin.table_filters import (
    choose_columns,
    escape_formulas,
    require_column,
)
from orchestrator_worker.builtin.tables import TIME, Part, Table, opened

ROW_GROUP_BYTES = 8 * 1024 * 1024
"""Of Parquet: what is held until it is written."""
MEDIA_TYPES = {
    TableFormat.CSV: "text/csv; charset=utf-8",
    TableFormat.JSONL: "application/x-ndjson",
    TableFormat.PARQUET: "application/vnd.apache.parquet",
}
TASK_COLUMNS = pa.schema(
    [
        ("task_id", pa.int64()),
        ("task_type", pa.string()),
        ("status", pa.string()),
        ("priority", pa.int64()),
        ("attempts", pa.int64()),
        ("max_attempts", pa.int64()),
        ("created_at", TIME),
        ("started_at", TIME),
        ("finished_at", TIME),
        ("result_file", pa.string()),
        ("result_bytes", pa.int64()),
        ("error_code", pa.string()),
        ("error_message", pa.string()),
    ]
)

TASK_LINES = pa.schema(
    [field.with_type(pa.string()) if field.type == TIME else field for field in TASK_COLUMNS]
)
"""The same as JSON has it, which knows no times."""

Write = Callable[[pa.RecordBatch], None]


def export(payload: DataExport, context: TaskContext, file: Path | None) -> ResultOnDisk:
    """Convert the table.

    Args:
        payload: says how.
        context: has the folder.
        file: the table; None: the owner's tasks, as ``gather`` left them.

    Raises:
        GiveUpError: the table is damaged, lacks a column, or its result is too large.
    """
    target = context.folder / "export"
    if file is None:
        _convert(payload, context, _open_tasks(context.folder / TASKS), target, begin=GATHERED)
    else:
        with opened(file) as table:
            _convert(payload, context, table, target, begin=0.0)
    return ResultOnDisk(
        path=target,
        content_type=MEDIA_TYPES[payload.format],
        file_name=f"export.{payload.format}",
    )


def _open_tasks(path: Path) -> Table:
    # What they hold is known: nothing is to be found out from the first lines.
    source = JsonTable(path, schema=TASK_LINES)
    parts = (Part(rows.cast(TASK_COLUMNS), fraction) for rows, fraction in source.parts())
    return Table(TASK_COLUMNS, parts)


def _convert(
    payload: DataExport, context: TaskContext, table: Table, target: Path, *, begin: float
) -> None:
    names = choose_columns(table.schema, payload.columns)
    for each in payload.filters:
        require_column(table.schema, each.column)
    is_escaped = payload.escape_formulas and payload.format is TableFormat.CSV
    schema = pa.schema([table.schema.field(name) for name in names])
    if is_escaped:
        schema = escape_formulas(pa.RecordBatch.from_pylist([], schema=schema)).schema
    total = 0
    with _writing(payload.format, target, schema) as write:
        for part in table.parts:
            rows = table_filters.keep_rows(part.rows, payload.filters).select(names)
            if rows.num_rows:
                write(escape_formulas(rows) if is_escaped else rows)
            total += rows.num_rows
            _require_size(target, context)
            context.report(begin + (1 - begin) * part.fraction, f"{total:,} rows")
    _require_size(target, context)


def _require_size(target: Path, context: TaskContext) -> None:
    require_size(
        target,
        context.max_result_bytes,
        what="the export",
        advice="fewer columns or rows, or for Parquet",
    )


@contextmanager
def _writing(kind: TableFormat, target: Path, schema: pa.Schema) -> Iterator[Write]:
    match kind:
        case TableFormat.CSV:
            with pa.OSFile(str(target), "wb") as sink:
                options = pyarrow.csv.WriteOptions(quoting_style="needed")
                times_as_text = _to_csv(pa.RecordBatch.from_pylist([], schema=schema)).schema
                with pyarrow.csv.CSVWriter(sink, times_as_text, write_options=options) as writer:
                    yield lambda rows: writer.write_batch(_to_csv(rows))
        case TableFormat.JSONL:
            with target.open("w", encoding="utf-8") as file:
                yield lambda rows: file.writelines(_to_line(row) for row in rows.to_pylist())
        case TableFormat.PARQUET:
            with (
                pq.ParquetWriter(str(target), schema, compression="zstd") as writer,
                _grouping(writer) as write,
            ):
                yield write


def _to_csv(rows: pa.RecordBatch) -> pa.RecordBatch:
    """Return times as ISO 8601; the writer itself would put a space into them."""
    columns = [
        _to_iso(column) if pa.types.is_timestamp(column.type) else column for column in rows.columns
    ]
    return pa.RecordBatch.from_arrays(columns, names=rows.schema.names)


def _to_iso(times: pa.Array) -> pa.Array:
    # Without a zone on the way: the database of zones is not in every image.
    text = pc.replace_substring(times.cast(pa.timestamp("us")).cast(pa.string()), " ", "T")
    zone = "Z" if times.type.tz else ""
    return pc.binary_join_element_wise(text, zone, "")


@contextmanager
def _grouping(writer: pq.ParquetWriter) -> Iterator[Write]:
    """Hold rows back until they make a group of fair size."""
    held: list[pa.RecordBatch] = []

    def flush() -> None:
        if held:
            writer.write_table(pa.Table.from_batches(held))
            held.clear()

    def write(rows: pa.RecordBatch) -> None:
        held.append(rows)
        if sum(each.nbytes for each in held) > ROW_GROUP_BYTES:
            flush()

    yield write
    flush()


def _to_line(row: dict[str, Any]) -> str:
    return json.dumps({name: _to_json(value) for name, value in row.items()}) + "\n"


def _to_json(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
