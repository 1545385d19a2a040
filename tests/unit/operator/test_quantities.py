"""Durations and quantities in Kubernetes's notation."""

from fractions import Fraction

import pytest

from orchestrator_operator.quantities import to_number, to_seconds


@pytest.mark.parametrize(
    ("text", "seconds"), [("15m", 900), ("90s", 90), ("1h30m", 5400), ("168h", 604800), ("0s", 0)]
)
def test_a_duration_has_seconds(text: str, seconds: int) -> None:
    assert to_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "15", "1d", "-5m", "1.5h", "m"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no duration"):
        to_seconds(text)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("500m", Fraction(1, 2)),
        (2, Fraction(2)),
        ("1.5", Fraction(3, 2)),
        ("10Gi", Fraction(10 * 2**30)),
        ("1G", Fraction(10**9)),
    ],
)
def test_a_quantity_has_a_number(text: str | int, number: Fraction) -> None:
    assert to_number(text) == number


@pytest.mark.parametrize("text", ["", "Gi", "1GiB", "-1", "1e3"])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no quantity"):
        to_number(text)
