"""What telemetry costs, and when that is more than promised."""

import json
import random
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev

import pytest

from tests.bench.telemetry.promises import AT_TENTH, AT_ZERO, BARE, COUNTED, PROMISES, Promise
from tests.bench.telemetry.reporting import (
    WHOLE,
    Finding,
    build_report,
    cost_of,
    estimate,
    find_faults,
)
from tests.bench.telemetry.slices import (
    WARM_UP_BLOCKS,
    Block,
    Slice,
    read_blocks,
    to_blocks,
)
from tests.bench.telemetry.switching import to_environment

FREE, TENTH = PROMISES


def a_finding(work: str, *, more: float = 0.0, pairs: int = 5) -> Finding:
    return Finding(work=work, blocks=[Block(400.0 + more, 400.0)] * pairs, stores_us=100.0)


def turns(*, units: int = 100, own: float = 0.04, exporting: float = 0.0) -> list[Slice]:
    return [
        Slice(each, units=units, own_seconds=own, exporting_seconds=exporting)
        for each in (BARE, AT_TENTH)
    ]


WARM_UP = turns(own=9.0) * WARM_UP_BLOCKS


# Slices


def test_a_block_has_what_a_unit_takes_in_both_variants() -> None:
    [block] = to_blocks([*WARM_UP, *turns()], TENTH)

    assert block == Block(variant_us=400.0, beside_us=400.0)


def test_whichever_came_first_each_is_told_by_its_name() -> None:
    bare, tenth = turns()
    slices = [*WARM_UP, tenth._replace(own_seconds=0.05), bare]

    [block] = to_blocks(slices, TENTH)

    assert block.beside_us == pytest.approx(400.0)
    assert block.variant_us == pytest.approx(500.0)


def test_whenever_spans_are_sent_the_variant_that_made_them_has_it() -> None:
    [block] = to_blocks([*WARM_UP, *turns(exporting=0.001)], TENTH)

    assert block.beside_us == pytest.approx(400.0)
    assert block.more_us == pytest.approx(20.0)


@pytest.mark.parametrize(
    "others",
    [
        turns(units=0),
        [turns(units=100)[0], turns(units=10)[1]],
        turns()[:1],
    ],
    ids=["idle", "idle in the end", "cut off"],
)
def test_a_block_that_was_not_busy_all_the_time_does_not_count(others: Sequence[Slice]) -> None:
    assert len(to_blocks([*turns() * WARM_UP_BLOCKS, *turns() * 5, *others], TENTH)) == 5


def test_who_was_never_busy_has_no_block() -> None:
    assert to_blocks([], TENTH) == []
    assert to_blocks(turns(units=0) * 5, TENTH) == []


def test_the_blocks_of_all_processes_count(tmp_path: Path) -> None:
    for pid in (1, 2):
        lines = [json.dumps(each._asdict()) for each in [*turns() * WARM_UP_BLOCKS, *turns()]]
        (tmp_path / f"{pid}.jsonl").write_text("\n".join(lines), encoding="utf-8")

    assert len(read_blocks(tmp_path, TENTH)) == 2


def test_a_process_learns_of_both_variants_and_sees_no_more_spans_than_one_makes() -> None:
    found = {
        promise.variant: {*to_environment(promise, Path("/anywhere")).values()}
        for promise in PROMISES
    }

    assert found[AT_ZERO] >= {f"{AT_ZERO},{COUNTED}", "0.0"}
    assert found[AT_TENTH] >= {f"{AT_TENTH},{BARE}", "0.1"}


# Reports


def test_outliers_on_both_sides_do_not_count() -> None:
    assert estimate([3.0] * 8 + [900.0, -5.0]) == estimate([3.0] * 10)
    assert estimate([3.0] * 10).error == 0


def test_without_outliers_it_is_nearly_the_mean_and_its_standard_error() -> None:
    chance = random.Random(5)
    values = [chance.gauss(10, 4) for _ in range(2000)]

    found = estimate(values)

    assert found.value == pytest.approx(mean(values), abs=0.1)
    # Of a normal distribution, a fifth cut off on either side costs some 6 % of precision.
    assert found.error == pytest.approx(stdev(values) / len(values) ** 0.5 * 1.06, rel=0.05)


def test_a_cost_is_a_share_of_all_that_the_work_takes() -> None:
    cost = cost_of([a_finding("x", more=50)])

    assert cost.share == pytest.approx(0.1)
    assert cost.error == 0


def test_differences_that_differ_are_an_error() -> None:
    blocks = [Block(400.0 + more, 400.0) for more in (0, 20, 0, 20)]

    cost = cost_of([Finding(work="x", blocks=blocks, stores_us=100.0)])

    # Of 500 µs: the mean of the differences is 10, their standard deviation 11.5, and its half 5.8.
    assert cost.share == pytest.approx(0.02)
    assert cost.error == pytest.approx(5.77 / 500, rel=1e-3)


def test_the_whole_is_the_sum_of_its_parts() -> None:
    assert cost_of([a_finding("one", more=50), a_finding("other")]).share == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("promise", "more", "broken"),
    [
        (FREE, 9, []),
        (FREE, 10, ["at 0 costs +1.0% ± 0.0% beside counted, promised under 1%"]),
        (TENTH, 49, []),
        (TENTH, 50, ["at 10 % costs +5.0% ± 0.0% beside bare, promised under 5%"]),
    ],
)
def test_what_costs_as_much_as_it_must_not_is_a_fault(
    promise: Promise, more: float, broken: list[str]
) -> None:
    found = {promise: [a_finding("one", more=more), a_finding("other")]}

    assert [fault.partition(": ")[2] for fault in find_faults(found)] == broken


def test_the_report_has_for_each_promise_a_row_each_and_one_for_the_whole() -> None:
    found = {
        FREE: [a_finding("one"), a_finding("other")],
        TENTH: [a_finding("one", more=50), a_finding("other", pairs=4)],
    }

    rows = build_report(found).splitlines()[-6:]

    nothing = "+0.0% ± 0.0%"
    assert rows == [
        f"| one | at 0 | counted | 5 | 400 | 0 | 100 | {nothing} |  |",
        f"| other | at 0 | counted | 5 | 400 | 0 | 100 | {nothing} |  |",
        f"| {WHOLE} | at 0 | counted | 5 | 800 | 0 | 200 | {nothing} | < 1% |",
        "| one | at 10 % | bare | 5 | 400 | 50 | 100 | +10.0% ± 0.0% |  |",
        f"| other | at 10 % | bare | 4 | 400 | 0 | 100 | {nothing} |  |",
        f"| {WHOLE} | at 10 % | bare | 4 | 800 | 50 | 200 | +5.0% ± 0.0% | < 5% |",
    ]
