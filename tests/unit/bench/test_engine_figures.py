import pytest

from tests.bench.engine.figures import (
    Cell,
    Roofline,
    Spread,
    cpu_per_task,
    drain_rate,
    percentile,
    rate_between,
)


def a_cell(**changes) -> Cell:
    fields = {"system": "ours", "scenario": "drain", "submitted": 100, "completed": 100}
    return Cell(**{**fields, **changes})


def test_a_burn_down_is_timed_from_its_first_twentieth_to_its_end() -> None:
    slow_start = [float(number) for number in range(5)]
    then_ten_a_second = [5 + number / 10 for number in range(95)]

    assert drain_rate(slow_start + then_ten_a_second) == pytest.approx(10.0)


def test_a_burn_down_that_never_began_has_no_rate() -> None:
    assert drain_rate([]) == 0.0
    assert drain_rate([1.0, 1.0, 1.0]) == 0.0


def test_a_steady_rate_counts_what_ended_inside_the_window() -> None:
    assert rate_between([0.5, 1.0, 1.5, 2.9, 3.0], start=1.0, end=3.0) == 1.5


def test_a_percentile_is_a_value_that_was_measured() -> None:
    values = list(range(1, 201))

    assert percentile(values, 50) == 100
    assert percentile(values, 99) == 198
    assert percentile([7.0], 99) == 7.0


def test_cpu_time_is_told_per_task_and_component() -> None:
    before, after = {"worker": 1.0, "postgres": 2.0}, {"worker": 1.5, "postgres": 2.1}

    assert cpu_per_task(before, after, 1000) == pytest.approx({"worker": 500.0, "postgres": 100.0})


def test_the_roofline_is_what_all_cores_together_can_pay_for() -> None:
    roofline = Roofline(cores=2, cpu_us={"postgres": 150.0, "rabbitmq": 50.0}, fsync_us=700.0)

    assert roofline.per_second == pytest.approx(10_000)


def test_a_spread_has_median_and_extremes() -> None:
    assert Spread.of([3.0, 1.0, 9.0]) == Spread(3.0, 1.0, 9.0)


def test_a_cell_in_which_all_came_right_has_no_fault() -> None:
    assert a_cell().find_faults() == []


def test_a_task_without_its_right_result_is_lost() -> None:
    cell = a_cell(completed=98, wrong_results=1)

    assert cell.lost == 3
    assert len(cell.find_faults()) == 1


def test_a_message_that_is_left_is_a_fault() -> None:
    assert a_cell(left_messages=2).find_faults() == ["2 messages left"]
