"""Read a table that a stranger sent, a bounded part of it at a time.

Each reader turns one format into ``Part``s of a few thousand rows, whose columns have one
of six plain types. What a file claims is judged before it is believed: its number of
columns, the length of a row, its encoding.

Before: ``exporting`` has a file.
After: it filters and writes part by part.
"""

import contextlib
import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from orchestrator_core.handlers import GiveUpError
from orchestrator_core.tasks import ErrorCode
from orchestrator_worker.builtin.exports import MAX_COLUMNS, TableFormat
from orchestrator_worker.builtin.json_tables import JsonTable

BLOCK_BYTES = 1024 * 1024
"""Of text at a time; no row may be longer."""
BATCH_ROWS = 4_096
HEAD_BYTES = 1024 * 1024
DELIMITERS = ",;\t|"
MAGIC = b"PAR1"
TIME = pa.timestamp("us", tz="UTC")

_TEXTUAL = (
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_null,
    pa.types.is_decimal,
    pa.types.is_time,
)
"""What becomes text."""

# One task, one thread: the worker gives each slot its share of the processors. The system's
# allocator gives memory back, and reserves no address space that a limit would count.
pa.set_cpu_count(1)
pa.set_io_thread_count(1)
pa.set_memory_pool(pa.system_memory_pool())


@dataclass(frozen=True, slots=True)
class Part:
    """Some rows, and how much of the file has been read with them, from 0 to 1."""

    rows: pa.RecordBatch
    fraction: float


@dataclass(frozen=True, slots=True)
class Table:
    """A table that can be read once."""

    schema: pa.Schema
    parts: Iterator[Part]


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Table]:
    """Open a table of any format that is known, recognised by its content.

    Raises:
        GiveUpError: it is none of them, or damaged; also while its parts are read.
    """
    with _explaining():
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
        yield _open(path, head)


def _open(path: Path, head: bytes) -> Table:
    match recognise(head):
        case TableFormat.PARQUET:
            return _open_parquet(path)
        case TableFormat.JSONL:
            source = JsonTable(path)
            return Table(source.schema, (Part(*each) for each in source.parts()))
        case _:
            return _open_csv(path, head)


def recognise(head: bytes) -> TableFormat:
    """Return what a file is, by its first bytes.

    Raises:
        GiveUpError: nothing that is known.
    """
    if not head:
        raise unusable("is empty")
    if head.startswith(MAGIC):
        return TableFormat.PARQUET
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if b"\0" in head:
        raise unusable("is neither CSV, JSON Lines nor Parquet, and its text not in UTF-8")
    return TableFormat.JSONL if text.startswith(b"{") else TableFormat.CSV


def unusable(why: str) -> GiveUpError:
    """Return the error for a file that can't be exported."""
    return GiveUpError(f"the table {why}", code=ErrorCode.INVALID_INPUT)


def require_columns(names: Sequence[str]) -> None:
    """Refuse what no table of people has.

    Raises:
        GiveUpError: there are too many columns, or two of one name.
    """
    if len(names) > MAX_COLUMNS:
        raise unusable(f"has {len(names):,} columns; at most {MAX_COLUMNS:,} can be exported")
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise unusable(f"has two columns named {name[:100]!r}")
        seen.add(name)


@contextlib.contextmanager
def _explaining() -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, MemoryError) or getattr(error, "errno", None) is not None:
            raise  # of the machine, not of the file
        raise unusable(f"is damaged: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    text = str(error).partition("\n")[0]
    if "straddling" in text:
        return f"a row is longer than {BLOCK_BYTES >> 20} MB, or a quote is never closed"
    # What follows a row's number may be its content; a path would be the worker's own.
    return text.partition(": /")[0][:200]


def _open_csv(path: Path, head: bytes) -> Table:
    names, delimiter = read_header(head)
    require_columns(names)
    size = path.stat().st_size
    source = pa.OSFile(str(path))
    reader = pyarrow.csv.open_csv(
        source,
        read_options=pyarrow.csv.ReadOptions(use_threads=False, block_size=BLOCK_BYTES),
        parse_options=pyarrow.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
        convert_options=pyarrow.csv.ConvertOptions(
            check_utf8=True,
            column_types=dict.fromkeys(names, pa.string()),
            strings_can_be_null=False,
        ),
    )

    def parts() -> Iterator[Part]:
        for batch in reader:
            yield Part(batch, min(source.tell() / size, 1.0))

    return Table(reader.schema, parts())


def read_header(head: bytes) -> tuple[list[str], str]:
    """Return a CSV file's column names and what separates them.

    Raises:
        GiveUpError: it has no header that could be one.
    """
    try:
        text = head.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # The head may end within a letter.
        if error.start < len(head) - 3 or len(head) < HEAD_BYTES:
            raise unusable("is not in UTF-8: save it as CSV UTF-8") from error
        text = head[: error.start].decode("utf-8-sig")
    first_line = text.partition("\n")[0]
    delimiter = max(DELIMITERS, key=first_line.count)
    try:
        names = next(csv.reader(io.StringIO(text), delimiter=delimiter), [])
    except csv.Error as error:
        raise unusable(f"has no usable header: {error}") from error
    if not names or not any(name.strip() for name in names):
        raise unusable("has no header")
    return names, delimiter


def _open_parquet(path: Path) -> Table:
    file = pq.ParquetFile(str(path), memory_map=False, pre_buffer=False)
    require_columns(file.schema_arrow.names)
    schema = pa.schema([_plain_field(field) for field in file.schema_arrow])
    total = max(file.metadata.num_rows, 1)

    def parts() -> Iterator[Part]:
        read = 0
        for batch in file.iter_batches(batch_size=BATCH_ROWS, use_threads=False):
            read += batch.num_rows
            yield Part(_to_plain(batch, schema), min(read / total, 1.0))

    return Table(schema, parts())


def _plain_field(field: pa.Field) -> pa.Field:
    """Return the field with the plain type that can hold it.

    Raises:
        GiveUpError: none can.
    """
    kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    if pa.types.is_boolean(kind) or pa.types.is_date(kind):
        plain = kind
    elif pa.types.is_unsigned_integer(kind):
        plain = pa.uint64()
    elif pa.types.is_integer(kind):
        plain = pa.int64()
    elif pa.types.is_floating(kind):
        plain = pa.float64()
    elif pa.types.is_timestamp(kind):
        plain = TIME if kind.tz else pa.timestamp("us")
    elif any(is_textual(kind) for is_textual in _TEXTUAL):
        plain = pa.string()
    else:
        raise unusable(f"has a column that is no plain value: {field.name[:100]!r} is {kind}")
    return pa.field(field.name, plain)


def _to_plain(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    columns = [
        column if column.type == field.type else column.cast(field.type)
        for column, field in zip(batch.columns, schema, strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)
