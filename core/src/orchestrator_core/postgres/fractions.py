"""Fractions as they were meant: Postgres keeps them in four bytes.

Before: a row has a ``real``, and asyncpg makes 0.30000001192092896 of 0.3.
After: whoever reads it sees 0.3.
"""

from typing import overload

_DIGITS = 6
"""What a ``real`` holds for sure."""


@overload
def to_fraction(real: float) -> float: ...
@overload
def to_fraction(real: None) -> None: ...
def to_fraction(real: float | None) -> float | None:
    """Return ``real`` without the digits that it never had."""
    return None if real is None else round(real, _DIGITS)
