"""Read JSON Lines as a table: one object a line, one column a field.

The first lines decide which columns there are and what they hold; a later line that does
not fit is named. Objects and lists within a field become their JSON text.

Before: ``tables`` has recognised the file.
After: it gets parts of a few thousand rows.
"""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa

from orchestrator_core.handlers import GiveUpError
from orchestrator_core.tasks import ErrorCode

HEAD_LINES = 10_000
HEAD_BYTES = 16 * 1024 * 1024
PART_LINES = 4_096
PART_BYTES = 4 * 1024 * 1024
MAX_LINE_BYTES = 4 * 1024 * 1024
MAX_FIELDS = 2_000

Row = dict[str, Any]


class JsonTable:
    """A file whose first lines have been looked at."""

    def __init__(self, path: Path, *, schema: pa.Schema | None = None) -> None:
        """Look at the first lines, unless what they hold is known.

        Raises:
            GiveUpError: they are no objects, or differ too much.
        """
        self._path = path
        self._size_bytes = max(path.stat().st_size, 1)
        self.schema = _find_schema(path) if schema is None else schema

    def parts(self) -> Iterator[tuple[pa.RecordBatch, float]]:
        """Yield rows, and how much of the file has been read with them.

        Raises:
            GiveUpError: a line does not fit.
        """
        with self._path.open("rb") as file:
            rows: list[Row] = []
            begin = 0
            for number, row in _read_rows(file):
                rows.append(self._fit(number, row))
                if len(rows) == PART_LINES or file.tell() - begin > PART_BYTES:
                    yield self._to_batch(rows), file.tell() / self._size_bytes
                    rows, begin = [], file.tell()
            yield self._to_batch(rows), 1.0

    def _fit(self, number: int, row: Row) -> Row:
        for name, value in row.items():
            index = self.schema.get_field_index(name)
            if index < 0:
                raise _unfit(number, f"has a field that the first lines lack: {name[:100]!r}")
            row[name] = _convert(number, name, value, self.schema.field(index).type)
        return row

    def _to_batch(self, rows: list[Row]) -> pa.RecordBatch:
        return pa.RecordBatch.from_pylist(rows, schema=self.schema)


def _find_schema(path: Path) -> pa.Schema:
    kinds: dict[str, set[type]] = {}
    with path.open("rb") as file:
        for number, row in itertools.islice(_read_rows(file), HEAD_LINES):
            for name, value in row.items():
                kinds.setdefault(name, set()).add(_kind_of(value))
            if len(kinds) > MAX_FIELDS:
                raise _unfit(
                    number,
                    f"has the field number {MAX_FIELDS + 1:,}; at most {MAX_FIELDS:,} can be"
                    " exported",
                )
            if file.tell() > HEAD_BYTES:
                break
    return pa.schema([(name, _type_for(found)) for name, found in kinds.items()])


def _read_rows(file: BinaryIO) -> Iterator[tuple[int, Row]]:
    for number in itertools.count(1):
        line = file.readline(MAX_LINE_BYTES + 1)
        if not line:
            return
        if len(line) > MAX_LINE_BYTES:
            raise _unfit(number, f"is longer than {MAX_LINE_BYTES >> 20} MB")
        if number == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")
        if line.isspace():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            reason = "is too deeply nested" if isinstance(error, RecursionError) else "is no JSON"
            raise _unfit(number, reason) from error
        if not isinstance(row, dict):
            raise _unfit(number, "is no JSON object")
        yield number, row


def _kind_of(value: object) -> type:
    if value is None:
        return type(None)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 1 << 63:
        return float
    return type(value) if isinstance(value, bool | int | float) else str


def _type_for(kinds: set[type]) -> pa.DataType:
    found = kinds - {type(None)}
    if found == {bool}:
        return pa.bool_()
    if found == {int}:
        return pa.int64()
    if found and found <= {int, float}:
        return pa.float64()
    return pa.string()


def _convert(number: int, name: str, value: object, kind: pa.DataType) -> object:
    if value is None:
        return None
    if pa.types.is_string(kind):
        return _storable(value if isinstance(value, str) else json.dumps(value))
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if pa.types.is_boolean(kind) and isinstance(value, bool):
        return value
    if pa.types.is_int64(kind) and is_number and _kind_of(value) is int:
        return value
    if pa.types.is_floating(kind) and is_number:
        return float(value)  # type: ignore[arg-type]  # a number
    raise _unfit(number, f"has another kind of value in {name[:100]!r} than the first lines")


def _storable(text: str) -> str:
    """Replace lone surrogates, which JSON may hold and UTF-8 can't."""
    return text.encode("utf-8", "replace").decode()


def _unfit(number: int, why: str) -> GiveUpError:
    return GiveUpError(f"the table's line {number:,} {why}", code=ErrorCode.INVALID_INPUT)
