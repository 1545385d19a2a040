"""What telemetry costs, and when that is more than promised."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.bench.telemetry.reporting import WHOLE, Finding, build_report, cost_of, find_faults
from tests.bench.telemetry.slices import (
    AT_TENTH,
    AT_ZERO,
    BARE,
    COUNTED,
    VARIANTS,
    WARM_UP_BLOCKS,
    Block,
    Slice,
    read_blocks,
    to_blocks,
)


def a_block(*, at_zero: float = 0.0, at_tenth: float = 0.0) -> Block:
    return {BARE: 400.0, COUNTED: 400.0, AT_ZERO: 400.0 + at_zero, AT_TENTH: 400.0 + at_tenth}


def a_finding(work: str, *blocks: Block) -> Finding:
    return Finding(work=work, blocks=blocks or [a_block()] * 2, stores_us=100.0)


def turns(*, units: int = 100, own: float = 0.04, exporting: float = 0.0) -> list[Slice]:
    return [
        Slice(each, units=units, own_seconds=own, exporting_seconds=exporting) for each in VARIANTS
    ]


WARM_UP = turns(own=9.0) * WARM_UP_BLOCKS


# Slices


def test_a_block_has_what_a_unit_takes_in_each_variant() -> None:
    [block] = to_blocks([*WARM_UP, *turns()])

    assert block == dict.fromkeys(VARIANTS, 400.0)


def test_whenever_spans_are_sent_the_variant_that_made_them_has_it() -> None:
    [block] = to_blocks([*WARM_UP, *turns(exporting=0.001)])

    assert block == {**dict.fromkeys(VARIANTS, 400.0), AT_TENTH: pytest.approx(440.0)}


@pytest.mark.parametrize(
    "others",
    [
        turns(units=0),
        [*turns(units=100)[:3], *turns(units=10)[3:]],
        turns()[:3],
    ],
    ids=["idle", "idle in the end", "cut off"],
)
def test_a_block_that_was_not_busy_all_the_time_does_not_count(others: Sequence[Slice]) -> None:
    assert len(to_blocks([*turns() * WARM_UP_BLOCKS, *turns() * 5, *others])) == 5


def test_who_was_never_busy_has_no_block() -> None:
    assert to_blocks([]) == []
    assert to_blocks(turns(units=0) * 5) == []


def test_the_blocks_of_all_processes_count(tmp_path: Path) -> None:
    for pid in (1, 2):
        lines = [json.dumps(each._asdict()) for each in [*turns() * WARM_UP_BLOCKS, *turns()]]
        (tmp_path / f"{pid}.jsonl").write_text("\n".join(lines), encoding="utf-8")

    assert len(read_blocks(tmp_path)) == 2


# Reports


def test_a_cost_is_a_share_of_all_that_the_work_takes() -> None:
    cost = cost_of([a_finding("x", *[a_block(at_tenth=50)] * 3)], AT_TENTH, BARE)

    assert cost.share == pytest.approx(0.1)
    assert cost.error == 0


def test_differences_that_differ_are_an_error() -> None:
    cost = cost_of([a_finding("x", a_block(), a_block(at_zero=20))], AT_ZERO, COUNTED)

    # 0 and 20 µs of 500: their mean is 10, its standard error too.
    assert cost.share == pytest.approx(0.02)
    assert cost.error == pytest.approx(0.02)


def test_the_whole_is_the_sum_of_its_parts() -> None:
    parts = [a_finding("one", *[a_block(at_tenth=50)] * 2), a_finding("other")]

    assert cost_of(parts, AT_TENTH, BARE).share == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("at_zero", "at_tenth", "broken"),
    [
        (9, 49, []),
        (10, 49, ["at 0 costs +1.0% ± 0.0% beside counted, promised under 1%"]),
        (9, 50, ["at 10 % costs +5.0% ± 0.0% beside bare, promised under 5%"]),
    ],
)
def test_what_costs_as_much_as_it_must_not_is_a_fault(
    at_zero: float, at_tenth: float, broken: list[str]
) -> None:
    block = a_block(at_zero=at_zero, at_tenth=at_tenth)
    findings = [a_finding("one", block, block), a_finding("other")]

    assert [fault.partition(": ")[2] for fault in find_faults(findings)] == broken


def test_the_report_has_a_row_each_and_one_for_the_whole() -> None:
    findings = [a_finding("one", *[a_block(at_tenth=50)] * 3), a_finding("other")]

    rows = build_report(findings).splitlines()[-3:]

    nothing = "+0.0% ± 0.0%"
    assert rows == [
        f"| one | 3 | 400 | 400 | 400 | 450 | 100 | {nothing} | +10.0% ± 0.0% |",
        f"| other | 2 | 400 | 400 | 400 | 400 | 100 | {nothing} | {nothing} |",
        f"| {WHOLE} | 2 | 800 | 800 | 800 | 850 | 200 | {nothing} | +5.0% ± 0.0% |",
    ]
