"""Which rows and columns of a table are wanted: pure, from part to part.

Before: ``exporting`` has a part of the table.
After: it writes what is left.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from orchestrator_core.handlers import GiveUpError
from orchestrator_core.tasks import ErrorCode
from orchestrator_worker.builtin.exports import ColumnFilter, Comparison, Scalar

NUMBER = r"^\s*[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?\s*$"
FORMULA = r"^[=+\-@\t\r]"
LISTED_NAMES = 20

_COMPARE = {
    Comparison.EQ: pc.equal,
    Comparison.NE: pc.not_equal,
    Comparison.LT: pc.less,
    Comparison.LE: pc.less_equal,
    Comparison.GT: pc.greater,
    Comparison.GE: pc.greater_equal,
}


def choose_columns(schema: pa.Schema, columns: Sequence[str] | None) -> list[str]:
    """Return the names to write.

    Raises:
        GiveUpError: one of them is not in the table.
    """
    wanted = schema.names if columns is None else list(dict.fromkeys(columns))
    for name in wanted:
        require_column(schema, name)
    return wanted


def require_column(schema: pa.Schema, name: str) -> None:
    """Refuse a name that the table does not have.

    Raises:
        GiveUpError: it does not.
    """
    if name in schema.names:
        return
    known = ", ".join(each[:50] for each in schema.names[:LISTED_NAMES])
    more = ", …" if len(schema.names) > LISTED_NAMES else ""
    raise GiveUpError(
        f"the table has no column {name[:100]!r}; it has {known}{more}",
        code=ErrorCode.INVALID_PAYLOAD,
    )


def keep_rows(rows: pa.RecordBatch, filters: Sequence[ColumnFilter]) -> pa.RecordBatch:
    """Return the rows that pass every filter; a null passes none but ``is_null`` and ``ne``."""
    for each in filters:
        rows = rows.filter(_to_mask(rows.column(each.column), each))
    return rows


def escape_formulas(rows: pa.RecordBatch) -> pa.RecordBatch:
    """Put an apostrophe before every text that a spreadsheet would compute."""
    columns = [
        _escaped(column) if pa.types.is_string(column.type) else column for column in rows.columns
    ]
    names = [_escaped(pa.array([name]))[0].as_py() for name in rows.schema.names]
    return pa.RecordBatch.from_arrays(columns, names=names)


def _escaped(column: pa.Array) -> pa.Array:
    is_formula = pc.match_substring_regex(column, FORMULA)
    return pc.if_else(is_formula, pc.binary_join_element_wise("'", column, ""), column)


def _to_mask(column: pa.Array, wanted: ColumnFilter) -> pa.Array:
    match wanted.op:
        case Comparison.IS_NULL:
            return pc.is_null(column)
        case Comparison.NOT_NULL:
            return pc.is_valid(column)
        case Comparison.CONTAINS:
            return _no_nulls(pc.match_substring(column.cast(pa.string()), str(wanted.value)))
        case Comparison.IN if isinstance(wanted.value, tuple):
            masks = [_compare(column, Comparison.EQ, each) for each in wanted.value]
            mask = masks[0]
            for other in masks[1:]:
                mask = pc.or_(mask, other)
            return mask
        case Comparison.NE if not isinstance(wanted.value, tuple) and wanted.value is not None:
            return pc.invert(_compare(column, Comparison.EQ, wanted.value))
        case _ if not isinstance(wanted.value, tuple) and wanted.value is not None:
            return _compare(column, wanted.op, wanted.value)
    raise ValueError(f"expected a filter that its model lets pass, found {wanted!r}")


def _compare(column: pa.Array, op: Comparison, value: Scalar) -> pa.Array:
    if isinstance(value, bool):
        left = column if pa.types.is_boolean(column.type) else pc.utf8_lower(_as_text(column))
        right: Any = value if pa.types.is_boolean(column.type) else str(value).lower()
    elif isinstance(value, int | float):
        left, right = _as_numbers(column), float(value)
    elif pa.types.is_temporal(column.type):
        left, right = column, _to_time(value, column.type)
    else:
        left, right = _as_text(column), value
    return _no_nulls(_COMPARE[op](left, pa.scalar(right, left.type)))


def _as_text(column: pa.Array) -> pa.Array:
    return column.cast(pa.string())


def _as_numbers(column: pa.Array) -> pa.Array:
    """Return the cells as numbers; those that are none become null."""
    if not pa.types.is_string(column.type):
        return column.cast(pa.float64(), safe=False)
    is_number = pc.match_substring_regex(column, NUMBER)
    text = pc.utf8_trim_whitespace(pc.if_else(is_number, column, None))
    return pc.utf8_ltrim(text, "+").cast(pa.float64())


def _to_time(text: str, kind: pa.DataType) -> object:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise GiveUpError(
            f"the filter's value {text[:50]!r} is no time such as 2026-05-01T00:00:00Z",
            code=ErrorCode.INVALID_PAYLOAD,
        ) from None
    if pa.types.is_date(kind):
        return moment.date()
    has_zone = pa.types.is_timestamp(kind) and kind.tz is not None
    if has_zone:
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


def _no_nulls(mask: pa.Array) -> pa.Array:
    return pc.fill_null(mask, fill_value=False)
