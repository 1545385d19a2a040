"""Parts of a file: what a client's ``Range`` asks for (RFC 9110 section 14).

Before: a download request may have the header.
After: ``downloads`` reads from one offset to another, or refuses.
"""

import re
from dataclasses import dataclass

from orchestrator_api.errors import RangeNotSatisfiableError

_RANGE = re.compile(r"(\d*)-(\d*)", re.ASCII)
_MAX_DIGITS = 18
"""No file is that large, and Python takes its time over a thousand digits."""


@dataclass(frozen=True, slots=True)
class ByteRange:
    """Some of a file's bytes, at least one."""

    start: int
    stop: int
    """Behind the last one."""


def parse_range(header: str | None, size_bytes: int) -> ByteRange | None:
    """Return the part that is asked for; None: the whole file.

    What asks for several parts, in another unit or in no known form gets the whole file, as
    the standard allows: nobody who asks so can do without understanding a plain 200.

    Raises:
        RangeNotSatisfiableError: it begins behind the file's end, or is of no length.
    """
    unit, _, ranges = (header or "").partition("=")
    wanted = [each.strip(" \t") for each in ranges.split(",") if each.strip(" \t")]
    if unit.strip(" \t").lower() != "bytes" or len(wanted) != 1:
        return None
    match = _RANGE.fullmatch(wanted[0])
    if match is None or wanted[0] == "-":
        return None
    first, last = match.groups()
    if not first:
        return _take_suffix(_to_number(last), size_bytes)
    start = _to_number(first)
    stop = min(_to_number(last) + 1, size_bytes) if last else size_bytes
    if last and _to_number(last) < start:
        return None
    if start >= size_bytes:
        raise RangeNotSatisfiableError(size_bytes)
    return ByteRange(start, stop)


def _take_suffix(length_bytes: int, size_bytes: int) -> ByteRange | None:
    if length_bytes == 0:
        raise RangeNotSatisfiableError(size_bytes)
    if size_bytes == 0:
        # All of nothing: there is no way to say so in a Content-Range.
        return None
    return ByteRange(max(0, size_bytes - length_bytes), size_bytes)


def _to_number(digits: str) -> int:
    return int(digits) if len(digits) <= _MAX_DIGITS else 10**_MAX_DIGITS
