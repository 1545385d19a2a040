"""What telemetry costs, and when that is more than promised."""

import pytest

from tests.bench.telemetry.reporting import (
    AT_TENTH,
    AT_ZERO,
    BARE,
    COUNTED,
    Figures,
    Finding,
    add_up,
    build_report,
    find_faults,
)


def a_finding(work: str, *, at_zero: float = 0.0, at_tenth: float = 0.0) -> Finding:
    own = {BARE: 400.0, COUNTED: 400.0, AT_ZERO: 400.0 + at_zero, AT_TENTH: 400.0 + at_tenth}
    return Finding(work=work, rounds=[Figures(own_us=own, stores_us=100.0)] * 3)


def test_a_cost_is_a_share_of_all_that_the_work_takes() -> None:
    assert a_finding("x", at_tenth=50).cost(AT_TENTH, BARE) == pytest.approx(0.1)


def test_the_median_of_the_rounds_counts() -> None:
    rounds = [each.rounds[0] for each in (a_finding("x", at_zero=more) for more in (1, 5, 500))]

    assert Finding(work="x", rounds=rounds).cost(AT_ZERO, COUNTED) == pytest.approx(0.01)


def test_the_whole_is_the_sum_of_its_parts() -> None:
    whole = add_up([a_finding("one", at_tenth=50), a_finding("other")])

    assert [each.stores_us for each in whole.rounds] == [200.0] * 3
    assert whole.cost(AT_TENTH, BARE) == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("at_zero", "at_tenth", "broken"),
    [
        (9, 49, []),
        (10, 49, ["at 0 costs 1.0% beside counted, promised under 1%"]),
        (9, 50, ["at 10 % costs 5.0% beside bare, promised under 5%"]),
    ],
)
def test_what_costs_as_much_as_it_must_not_is_a_fault(
    at_zero: float, at_tenth: float, broken: list[str]
) -> None:
    findings = [a_finding("one", at_zero=at_zero, at_tenth=at_tenth), a_finding("other")]

    assert [fault.partition(": ")[2] for fault in find_faults(findings)] == broken


def test_the_report_has_a_row_each_and_one_for_the_whole() -> None:
    rows = build_report([a_finding("one", at_tenth=50), a_finding("other")]).splitlines()

    assert rows[-3:] == [
        "| one | 400 | 400 | 400 | 450 | 100 | +0.0% | +10.0% |",
        "| other | 400 | 400 | 400 | 400 | 100 | +0.0% | +0.0% |",
        "| a task from request to result | 800 | 800 | 800 | 850 | 200 | +0.0% | +5.0% |",
    ]
