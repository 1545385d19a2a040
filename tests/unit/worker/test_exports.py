"""A table comes out with every cell it should have, or the task says why not."""

import csv
import gzip
import io
import json
from collections.abc import AsyncGenerator, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from activities import a_record
from orchestrator_core.attempts import ProgressReport, ResultFile
from orchestrator_core.handler_testing import Supplies, run_handler
from orchestrator_core.handlers import GiveUpError
from orchestrator_core.owners import HistoryFilter, HistoryPage, OwnersData, TaskRecord
from orchestrator_core.tasks import ErrorCode, TaskStatus
from orchestrator_worker.builtin import handlers, json_tables, table_filters
from orchestrator_worker.builtin.exports import DataExport
from packaged import packaged

FILE = 7


def exported(
    path: Path | None, reports: list[ProgressReport] | None = None, **payload: Any
) -> ResultFile:
    supplies = Supplies(files={} if path is None else {FILE: path})
    return run_handler(
        handlers, "DATA_EXPORT", {"file_id": FILE, **payload}, supplies=supplies, reports=reports
    )


def cells_of(result: ResultFile) -> list[list[str]]:
    """Return what the standard library's reader finds in a CSV file."""
    assert (result.file_name, result.content_type) == ("export.csv", "text/csv; charset=utf-8")
    return list(csv.reader(io.StringIO(result.content.decode("utf-8"), newline="")))


def rows_of(result: ResultFile) -> list[dict[str, Any]]:
    assert (result.file_name, result.content_type) == ("export.jsonl", "application/x-ndjson")
    return [json.loads(line) for line in result.content.decode("utf-8").splitlines()]


def duck(result: ResultFile, folder: Path) -> list[tuple[Any, ...]]:
    """Return what another Parquet reader finds."""
    path = folder / result.file_name
    path.write_bytes(result.content)
    with duckdb.connect() as connection:
        return connection.execute("SELECT * FROM read_parquet(?)", [str(path)]).fetchall()


def written(folder: Path, content: bytes | str, name: str = "table") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.fixture
def diabetes(tmp_path: Path) -> Path:
    """Measurements of 442 people as scikit-learn ships them, with a header that they lack."""
    text = gzip.decompress(
        packaged("sklearn", "datasets/data/diabetes_data_raw.csv.gz").read_bytes()
    ).decode()
    lines = [line.replace(" ", ",") for line in text.splitlines()]
    return written(tmp_path, "age,sex,bmi,bp,s1,s2,s3,s4,s5,s6\n" + "\n".join(lines) + "\n")


def originals(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def test_a_real_table_survives_each_format(diabetes: Path, tmp_path: Path) -> None:
    header, *rows = originals(diabetes)

    assert cells_of(exported(diabetes)) == [header, *rows]
    assert rows_of(exported(diabetes, format="jsonl")) == [
        dict(zip(header, row, strict=True)) for row in rows
    ]
    assert duck(exported(diabetes, format="parquet"), tmp_path) == [tuple(row) for row in rows]


def test_a_parquet_file_of_others_keeps_its_values(tmp_path: Path) -> None:
    path = tmp_path / "theirs.parquet"
    with duckdb.connect() as connection:
        connection.execute(
            "CREATE TABLE theirs AS"
            " SELECT i::integer AS i, i / 4 AS f, i % 3 = 0 AS b, NULLIF(i, 5)::text AS t,"
            " TIMESTAMPTZ '2026-05-01 10:00:00.5+02' AS at, DATE '2026-05-01' AS d,"
            " (i / 10)::decimal(9, 3) AS n FROM range(10_000) r(i)"
        )
        connection.table("theirs").write_parquet(str(path))

    rows = rows_of(exported(path, format="jsonl"))
    cells = cells_of(exported(path))
    again = duck(exported(path, format="parquet"), tmp_path)

    assert len(rows) == len(cells) - 1 == len(again) == 10_000
    assert rows[6] == {
        "i": 6,
        "f": 1.5,
        "b": True,
        "t": "6",
        "d": "2026-05-01",
        "n": "0.600",
        "at": "2026-05-01T08:00:00.500000Z",
    }
    assert rows[5]["t"] is None
    assert cells[6 + 1] == [
        *("6", "1.5", "true", "6", "2026-05-01T08:00:00.500000Z", "2026-05-01", "0.600")
    ]
    assert again[6][:4] == (6, 1.5, True, "6")


def test_columns_are_chosen_and_ordered(diabetes: Path) -> None:
    cells = cells_of(exported(diabetes, columns=["bmi", "age", "bmi"]))

    assert cells[0] == ["bmi", "age"]
    assert cells[1] == [originals(diabetes)[1][2], originals(diabetes)[1][0]]


@pytest.mark.parametrize("where", [{"columns": ["weight"]}, {"filters": [{"column": "weight", "value": 1}]}])  # fmt: skip  # noqa: E501
def test_a_column_that_is_not_there_is_named_beside_those_that_are(
    diabetes: Path, where: dict[str, Any]
) -> None:
    with pytest.raises(GiveUpError, match="no column 'weight'; it has age, sex, bmi") as raised:
        exported(diabetes, **where)

    assert raised.value.code is ErrorCode.INVALID_PAYLOAD


MIXED = "name,size,at\nä,10,2026-01-01\nb,9,2026-01-02\n,1e1,\nd, 8 ,x\n=1,many,2026-01-03\n"


@pytest.mark.parametrize(
    ("op", "column", "value", "kept"),
    [
        ("eq", "size", 10, ["ä", ""]),
        ("eq", "size", "10", ["ä"]),
        ("ne", "size", 10, ["b", "d", "=1"]),
        ("gt", "size", 8.5, ["ä", "b", ""]),
        ("le", "size", 8, ["d"]),
        ("lt", "name", "b", ["", "=1"]),
        ("contains", "name", "ä", ["ä"]),
        ("in", "name", ["b", "d"], ["b", "d"]),
        ("in", "size", [8, 9], ["b", "d"]),
        ("ge", "at", "2026-01-02", ["b", "d", "=1"]),
        ("is_null", "name", None, []),
        ("not_null", "name", None, ["ä", "b", "", "d", "=1"]),
    ],
)
def test_rows_are_kept_as_a_filter_says(
    tmp_path: Path, op: str, column: str, value: object, kept: list[str]
) -> None:
    wanted = {"column": column, "op": op, **({} if value is None else {"value": value})}

    cells = cells_of(exported(written(tmp_path, MIXED), filters=[wanted], columns=["name"]))

    assert [row[0] if row else "" for row in cells[1:]] == kept


TYPED = [
    {"n": 1, "f": 0.5, "b": True, "t": "x", "o": {"a": [1]}},
    {"n": None, "f": 2, "b": False, "t": None},
    {"n": 3, "f": 1e3, "b": None, "t": "=1+1", "o": "plain"},
]


def lines(rows: Sequence[object]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.mark.parametrize(
    ("wanted", "kept"),
    [
        ({"column": "n", "op": "is_null"}, [1]),
        ({"column": "n", "op": "ne", "value": 1}, [1, 2]),
        ({"column": "b", "value": True}, [0]),
        ({"column": "f", "op": "ge", "value": 2}, [1, 2]),
        ({"column": "t", "op": "contains", "value": "="}, [2]),
    ],
)
def test_lines_of_json_keep_their_types(
    tmp_path: Path, wanted: dict[str, Any], kept: list[int]
) -> None:
    path = written(tmp_path, lines(TYPED))
    whole = [
        {"n": 1, "f": 0.5, "b": True, "t": "x", "o": '{"a": [1]}'},
        {"n": None, "f": 2.0, "b": False, "t": None, "o": None},
        {"n": 3, "f": 1000.0, "b": None, "t": "=1+1", "o": "plain"},
    ]

    assert rows_of(exported(path, format="jsonl")) == whole
    assert rows_of(exported(path, format="jsonl", filters=[wanted])) == [whole[n] for n in kept]


def test_formulas_are_escaped_on_request_and_numbers_are_not(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        lines([{"=h": text, "n": -1} for text in ("=1+1", "+a", "-b", "@c", "\tx", "\ry", "safe")]),
    )

    cells = cells_of(exported(path, escape_formulas=True))

    assert cells[0] == ["'=h", "n"]
    assert [row[0] for row in cells[1:]] == [
        *("'=1+1", "'+a", "'-b", "'@c", "'\tx", "'\ry", "safe")
    ]
    assert {row[1] for row in cells[1:]} == {"-1"}
    assert cells_of(exported(path))[1][0] == "=1+1"


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)


@settings(deadline=None, max_examples=60)
@given(rows=st.lists(st.tuples(TEXT, TEXT.filter(bool)), min_size=1, max_size=6))
def test_any_text_survives_the_way_through_every_format(
    rows: list[tuple[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("round")
    source = written(folder, lines([{"a": a, "b": b} for a, b in rows]), "a.jsonl")

    as_csv = written(folder, exported(source).content, "b.csv")
    as_parquet = written(folder, exported(as_csv, format="parquet").content, "c.parquet")
    back = rows_of(exported(as_parquet, format="jsonl"))

    assert [(row["a"], row["b"]) for row in back] == rows


class History:
    """An owner's tasks in two pages."""

    def __init__(self, *records: TaskRecord) -> None:
        self.records = records
        self.asked: list[HistoryFilter] = []

    async def history(self, wanted: HistoryFilter) -> AsyncGenerator[HistoryPage, None]:
        self.asked.append(wanted)
        half = len(self.records) // 2
        yield HistoryPage(records=self.records[:half], fraction=0.5)
        yield HistoryPage(records=self.records[half:], fraction=1.0)


def own(
    history: History, reports: list[ProgressReport] | None = None, **payload: Any
) -> ResultFile:
    supplies = Supplies(owners_data=cast("OwnersData", history))
    return run_handler(handlers, "DATA_EXPORT", payload, supplies=supplies, reports=reports)


def test_an_empty_payload_exports_the_owners_tasks() -> None:
    failed = a_record(8, status=TaskStatus.FAILED, error_code="TIMEOUT", error_message="slow, so")
    history, reports = History(a_record(7), failed), list[ProgressReport]()

    header, *rows = cells_of(own(history, reports))

    assert history.asked == [HistoryFilter()]
    assert header == list(TaskRecord.__slots__)
    assert [dict(zip(header, row, strict=True))["task_id"] for row in rows] == ["7", "8"]
    shown = dict(zip(header, rows[1], strict=True))
    assert (shown["error_code"], shown["error_message"]) == ("TIMEOUT", "slow, so")
    assert shown["created_at"] == "2026-05-01T14:05:00.000000Z"
    fractions = [each.fraction for each in reports]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_an_owner_without_tasks_gets_a_table_without_rows(kind: str, tmp_path: Path) -> None:
    result = own(History(), format=kind)

    if kind == "parquet":
        assert duck(result, tmp_path) == []
        assert pq.read_schema(io.BytesIO(result.content)).names == list(TaskRecord.__slots__)
    else:
        header = ",".join(f'"{name}"' for name in TaskRecord.__slots__)
        assert result.content.decode() in ("", f"{header}\n")


def test_the_owners_tasks_are_filtered_where_they_are() -> None:
    history = History()
    own(
        history,
        statuses=["FAILED"],
        task_types=["a", "b"],
        created_from="2026-05-01T00:00:00+02:00",
    )

    assert history.asked == [
        HistoryFilter(
            statuses=(TaskStatus.FAILED,),
            task_types=("a", "b"),
            created_from=datetime(2026, 4, 30, 22, tzinfo=UTC),
        )
    ]


def test_progress_only_grows_and_ends(tmp_path: Path) -> None:
    path = written(tmp_path, "a,b\n" + "x,y\n" * 3_000_000)
    reports: list[ProgressReport] = []

    exported(path, reports, filters=[{"column": "a", "value": "none"}])

    fractions = [each.fraction for each in reports]
    assert len(fractions) > 2
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    assert all(0 < each <= 1 for each in fractions)


def test_a_result_that_is_too_large_is_not_written_to_its_end(diabetes: Path) -> None:
    supplies = Supplies(files={FILE: diabetes}, max_result_bytes=1_000)

    with pytest.raises(GiveUpError, match="ask for fewer columns or rows") as raised:
        run_handler(handlers, "DATA_EXPORT", {"file_id": FILE}, supplies=supplies)

    assert raised.value.code is ErrorCode.RESULT_TOO_LARGE


def hostile() -> Iterator[tuple[str, bytes, str]]:
    table = pa.table({"a": list(range(1_000)), "b": ["text"] * 1_000})
    sink = io.BytesIO()
    pq.write_table(table, sink)
    parquet = sink.getvalue()
    nested = io.BytesIO()
    pq.write_table(pa.table({"a": [[1]]}), nested)
    yield "empty", b"", "is empty"
    yield "png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "neither CSV, JSON Lines nor Parquet"
    yield "zip", b"PK\x03\x04\0\0", "neither CSV"
    yield "latin-1", "größe,b\n1,2\n".encode("latin-1"), "is not in UTF-8"
    yield "latin-1 below", b"a,b\n" + "grö,2\n".encode("latin-1"), "is not in UTF-8"
    yield "utf-16", "a,b\n1,2\n".encode("utf-16"), "UTF-8"
    yield "blank", b"\n\n\n", "has no header"
    yield "ragged", b"a,b\n1,2\n1,2,3\n", "Expected 2 columns, got 3"
    yield "twice", b"a,a\n1,2\n", "two columns named 'a'"
    yield "wide", (",".join(f"c{n}" for n in range(10_000)) + "\n").encode(), "has 10,000 columns"
    yield "endless cell", b'a,b\n"' + b"x" * (9 << 20), "longer than 1 MB"
    yield "no json", b'{"a": 1}\n{"a": \n', "line 2 is no JSON"
    yield "a list", b'{"a": 1}\n[1]\n', "line 2 is no JSON object"
    yield "deep", b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}\n", "too deeply nested"
    yield "endless line", b'{"a": "' + b"x" * (5 << 20) + b'"}', "line 1 is longer than 4 MB"
    yield "many fields", json.dumps(dict.fromkeys(map(str, range(2_001)), 1)).encode(), "2,001"
    yield "parquet's name only", b"PAR1", "is damaged"
    yield "cut parquet", parquet[: len(parquet) // 2], "is damaged"
    yield "foot of parquet", parquet[:4] + parquet[-200:], "is damaged"
    yield "scratched parquet", parquet[:40] + b"\xff" * 400 + parquet[440:], "is damaged"
    yield "nested parquet", nested.getvalue(), "is no plain value"


@pytest.mark.parametrize(
    ("content", "reason"), [each[1:] for each in hostile()], ids=[each[0] for each in hostile()]
)
def test_what_is_no_table_ends_with_a_sentence(tmp_path: Path, content: bytes, reason: str) -> None:
    path = written(tmp_path, content)

    with pytest.raises(GiveUpError, match=reason) as raised:
        exported(path)

    assert raised.value.code is ErrorCode.INVALID_INPUT
    assert str(raised.value).startswith("the table")
    assert str(tmp_path) not in str(raised.value)


def test_a_line_unlike_the_first_ones_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(json_tables, "HEAD_LINES", 2)
    whole = [{"a": 1}, {"a": 2}]

    for late, reason in (({"a": "x"}, "another kind of value in 'a'"), ({"b": 1}, "lack: 'b'")):
        with pytest.raises(GiveUpError, match=f"line 3 .*{reason}"):
            exported(written(tmp_path, lines([*whole, late])))


def test_a_parquet_file_that_inflates_is_read_in_small_parts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Ten million equal cells take 20 KB as Parquet and 5 GB as text."""
    largest = 0
    keep = table_filters.keep_rows

    def spy(rows: pa.RecordBatch, filters: Any) -> pa.RecordBatch:
        nonlocal largest
        largest = max(largest, rows.nbytes)
        return keep(rows, filters)

    monkeypatch.setattr(table_filters, "keep_rows", spy)
    cell = "x" * 500
    one = pa.table({"a": pa.array([cell] * 1_000_000).dictionary_encode()})
    pq.write_table(one, tmp_path / "bomb")
    supplies = Supplies(files={FILE: tmp_path / "bomb"}, max_result_bytes=30_000_000)

    with pytest.raises(GiveUpError, match="takes more than"):
        run_handler(handlers, "DATA_EXPORT", {"file_id": FILE}, supplies=supplies)

    assert 0 < largest < 4_000_000


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        ({"file_id": 1, "statuses": ["FAILED"]}, "not about a file"),
        ({"file_id": 1, "source_url": "https://example.com/"}, "not both"),
        ({"columns": []}, "at least 1"),
        ({"format": "xlsx"}, "parquet"),
        ({"created_from": "2026-05-01T00:00:00"}, "timezone"),
        ({"filters": [{"column": "a", "op": "in", "value": 1}]}, "takes a list"),
        ({"filters": [{"column": "a", "op": "in", "value": []}]}, "takes a list"),
        ({"filters": [{"column": "a", "op": "is_null", "value": 1}]}, "takes no value"),
        ({"filters": [{"column": "a"}]}, "takes one value"),
        ({"filters": [{"column": "a", "op": "contains", "value": 1}]}, "takes a text"),
        ({"filters": [{"column": "a", "value": 1}] * 21}, "at most 20"),
    ],
)
def test_a_payload_that_contradicts_itself_is_refused(payload: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        DataExport.model_validate_json(json.dumps(payload))
