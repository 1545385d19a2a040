"""Which bytes a Range asks for (RFC 9110 section 14)."""

import pytest

from orchestrator_api.errors import RangeNotSatisfiableError
from orchestrator_api.files.ranges import ByteRange, parse_range

SIZE_BYTES = 100


@pytest.mark.parametrize(
    ("header", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=0-99", 0, 100),
        ("bytes=10-19", 10, 20),
        ("bytes=90-", 90, 100),
        ("bytes=0-", 0, 100),
        ("bytes=-1", 99, 100),
        ("bytes=-100", 0, 100),
        ("bytes=-1000", 0, 100),
        ("bytes=99-1000", 99, 100),
        (f"bytes=1-{'9' * 5_000}", 1, 100),
        (f"bytes=-{'9' * 5_000}", 0, 100),
        ("bytes=000001-0000002", 1, 3),
        ("BYTES=1-2", 1, 3),
        ("bytes= 1-2 ", 1, 3),
        ("bytes=,1-2,", 1, 3),
    ],
)
def test_one_range_is_a_part(header: str, start: int, stop: int) -> None:
    assert parse_range(header, SIZE_BYTES) == ByteRange(start, stop)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=,",
        "bytes=a-b",
        "bytes=1",
        "bytes=1-2-3",
        "bytes=--1",
        "bytes=+1-2",
        "bytes=1.0-2",
        "bytes=1 - 2",
        "bytes=٣-٤",
        "bytes=20-10",
        f"bytes={'9' * 5_000}-1",
        "bytes=0-1,5-6",
        "bytes=-1,200-",
        "lines=1-2",
        "=0-1",
        "0-1",
    ],
)
def test_several_ranges_other_units_and_nonsense_get_the_whole_file(header: str | None) -> None:
    assert parse_range(header, SIZE_BYTES) is None


@pytest.mark.parametrize(
    "header", ["bytes=100-", "bytes=100-200", "bytes=-0", f"bytes={'9' * 5_000}-"]
)
def test_a_range_outside_the_file_is_refused_with_its_size(header: str) -> None:
    with pytest.raises(RangeNotSatisfiableError) as refused:
        parse_range(header, SIZE_BYTES)

    assert refused.value.size_bytes == SIZE_BYTES


@pytest.mark.parametrize("header", ["bytes=-5", "bytes=5-1"])
def test_the_end_of_an_empty_file_is_the_whole_of_it(header: str) -> None:
    assert parse_range(header, 0) is None


def test_an_empty_file_has_no_first_byte() -> None:
    with pytest.raises(RangeNotSatisfiableError):
        parse_range("bytes=0-", 0)
