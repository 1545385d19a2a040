"""Expected starts follow from what was measured, and there is none where nothing was."""

import pytest

from explained_tasks import (
    NOW,
    a_final,
    a_leased,
    a_place,
    a_pool,
    a_report,
    a_standing,
    in_seconds,
    no_pool,
    some_facts,
)
from orchestrator_api.tasks.estimating import expect_start
from orchestrator_core.tasks import TaskStatus


def test_each_slot_frees_after_a_mean_run_and_those_before_take_theirs_first() -> None:
    facts = some_facts(place=a_place(7), pool=a_pool())

    expected = expect_start(facts, is_waiting=True)

    # Eight runs of 2 s on 8 slots.
    assert expected.start_at == in_seconds(2.0)
    assert expected.sentence == "Measured: the latest 100 attempts took 2 s each, 8 slots."


def test_free_slots_are_taken_at_once_and_only_the_rest_waits() -> None:
    facts = some_facts(place=a_place(7), pool=a_pool(busy_slots=4))

    assert expect_start(facts, is_waiting=True).start_at == in_seconds(1.0)


def test_with_a_free_slot_it_starts_now_whether_or_not_anything_was_measured() -> None:
    facts = some_facts(place=a_place(), pool=a_pool(busy_slots=7, mean_run_seconds=None))

    assert expect_start(facts, is_waiting=True).start_at == NOW


def test_where_no_attempt_has_ended_lately_there_is_no_time_and_a_sentence_says_so() -> None:
    facts = some_facts(pool=a_pool(mean_run_seconds=None, measured_attempts=0))

    expected = expect_start(facts, is_waiting=True)

    assert expected.start_at is None
    assert expected.sentence == "No attempt has ended lately, so nothing is measured."


def test_a_pool_that_wakes_takes_as_long_as_a_pod_was_measured_to_start() -> None:
    facts = some_facts(place=a_place(), pool=no_pool(mean_run_seconds=None))

    expected = expect_start(facts, is_waiting=True)

    assert expected.start_at == in_seconds(5.0)
    assert expected.sentence == "Measured: a worker starts within 5 s."


def test_who_does_not_fit_into_a_pool_that_wakes_waits_for_its_first_runs() -> None:
    facts = some_facts(place=a_place(4), pool=no_pool())

    # Four slots take those before it after 5 s; the next one frees after a fourth of 2 s.
    assert expect_start(facts, is_waiting=True).start_at == in_seconds(5.5)


def test_workers_that_are_on_their_way_count() -> None:
    facts = some_facts(place=a_place(7), pool=a_pool(a_report(desired_replicas=4)))

    assert expect_start(facts, is_waiting=True).start_at == in_seconds(1.0)


def test_behind_more_than_were_counted_it_is_the_earliest_time() -> None:
    facts = some_facts(place=a_place(10_000, is_counted_out=True))

    assert expect_start(facts, is_waiting=True).sentence.endswith(
        " At the earliest: more wait than were counted."
    )


def test_years_ahead_there_is_no_date() -> None:
    facts = some_facts(place=a_place(10_000), pool=a_pool(mean_run_seconds=1e6))

    expected = expect_start(facts, is_waiting=True)

    assert expected.start_at is None
    assert expected.sentence.startswith("Not within a year.")


@pytest.mark.parametrize("seconds", [1, 3600])
def test_before_its_time_that_time_is_expected(seconds: float) -> None:
    facts = some_facts(a_standing(due_at=in_seconds(seconds)))

    assert expect_start(facts, is_waiting=False).start_at == in_seconds(seconds)


@pytest.mark.parametrize(
    "standing", [a_leased(), a_final(TaskStatus.COMPLETED), a_standing()], ids=str
)
def test_what_runs_has_ended_or_waits_for_something_else_has_no_time(standing: object) -> None:
    facts = some_facts(standing)  # type: ignore[arg-type]  # one of the parameters above

    expected = expect_start(facts, is_waiting=False)

    assert expected.start_at is None
    assert expected.sentence
