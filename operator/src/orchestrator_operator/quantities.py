"""Durations and quantities as Kubernetes writes them, in numbers a program can compare.

Before: ``spec`` takes both as text, as users write them.
After: builders compute grace periods, cache sizes and limits from the numbers.
"""

import re
from fractions import Fraction
from typing import Annotated

from pydantic import StringConstraints, WithJsonSchema

DURATION_PATTERN = r"^([0-9]{1,9}h)?([0-9]{1,9}m)?([0-9]{1,9}s)?$"
"""Go's notation without fractions and days, which CEL's ``duration()`` reads too."""
QUANTITY_PATTERN = r"^[0-9]{1,18}(\.[0-9]{1,9})?(m|k|Ki|M|Mi|G|Gi|T|Ti|P|Pi)?$"

Duration = Annotated[str, StringConstraints(pattern=DURATION_PATTERN, min_length=2, max_length=32)]
Size = Annotated[str, StringConstraints(pattern=QUANTITY_PATTERN, min_length=1, max_length=32)]
"""Bytes, such as `10Gi`."""
Quantity = Annotated[
    int | str,
    WithJsonSchema(
        {"x-kubernetes-int-or-string": True, "pattern": QUANTITY_PATTERN, "maxLength": 32}
    ),
]
"""As users write it in `resources`: `2` and `"2"` are the same."""

_SECONDS = {"h": 3600, "m": 60, "s": 1}
_FACTORS = {
    "": Fraction(1),
    "m": Fraction(1, 1000),
    "k": Fraction(10**3),
    "M": Fraction(10**6),
    "G": Fraction(10**9),
    "T": Fraction(10**12),
    "P": Fraction(10**15),
    "Ki": Fraction(2**10),
    "Mi": Fraction(2**20),
    "Gi": Fraction(2**30),
    "Ti": Fraction(2**40),
    "Pi": Fraction(2**50),
}


def to_seconds(duration: str) -> int:
    """Return the seconds of a duration such as ``1h30m``.

    Raises:
        ValueError: it is not of that form.
    """
    if not duration or not re.match(DURATION_PATTERN, duration):
        raise ValueError(f"{duration!r} is no duration such as 15m, 90s or 1h30m")
    parts = re.findall(r"([0-9]+)([hms])", duration)
    return sum(int(number) * _SECONDS[unit] for number, unit in parts)


def to_number(quantity: str | int) -> Fraction:
    """Return the exact value of a quantity such as ``500m`` (cores) or ``10Gi`` (bytes).

    Raises:
        ValueError: it is not of that form.
    """
    text = str(quantity)
    if not re.match(QUANTITY_PATTERN, text):
        raise ValueError(f"{text!r} is no quantity such as 500m, 2 or 10Gi")
    number = text.rstrip("mkKMGTPi")
    return Fraction(number) * _FACTORS[text[len(number) :]]
