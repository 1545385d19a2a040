"""The law's promises, one by one."""

from dataclasses import replace
from typing import Any

import pytest

from orchestrator_core.load import Load
from orchestrator_operator.autoscaling import (
    Decision,
    Direction,
    LawState,
    PodCounts,
    Reading,
    ScalingTarget,
    decide,
    hold,
)


def a_load(ready: int = 0, in_flight: int = 0, **others: Any) -> Load:
    numbers: dict[str, Any] = {
        "scheduled_tasks": 0,
        "oldest_ready_age_seconds": 0.0,
        "arrivals_total": 0,
        "completions_total": 0,
        "busy_seconds_total": 0.0,
        **others,
    }
    return Load(ready_tasks=ready, in_flight_tasks=in_flight, **numbers)


def a_reading(now: float, load: Load, *, current: int = 0, **pods: int) -> Reading:
    counts = {"living": current, "removable": current, **pods}
    return Reading(now_seconds=now, load=load, current_replicas=current, pods=PodCounts(**counts))


def a_target(**changes: Any) -> ScalingTarget:
    return replace(ScalingTarget(), **changes)


def watch(
    load: Load, *, current: int, seconds: int, target: ScalingTarget | None = None, since: int = 0
) -> tuple[LawState, list[tuple[int, Decision]]]:
    """Let the law see the same load every two seconds, and follow what it says."""
    state, decisions = LawState(), []
    for now in range(since, since + seconds + 1, 2):
        state, decision = decide(state, a_reading(now, load, current=current), target or a_target())
        decisions.append((now, decision))
        current = decision.replicas
    return state, decisions


@pytest.mark.parametrize(
    ("situation", "load", "current", "changes", "replicas"),
    [
        ("nothing to do and nobody there", a_load(), 0, {}, 0),
        ("one task wakes one worker", a_load(ready=1), 0, {}, 1),
        ("a backlog brings many at once: 41 tasks of 5 s in 10 s", a_load(ready=41), 0, {}, 6),
        ("a flood stops at max", a_load(ready=10_000), 0, {}, 10),
        ("never more slots than tasks", a_load(ready=3, oldest_ready_age_seconds=99.0), 0, {}, 1),
        (
            "a broken promise doubles the effort",
            a_load(ready=40, oldest_ready_age_seconds=40.0),
            0,
            {},
            10,
        ),
        ("a longer promise needs fewer", a_load(ready=41), 0, {"target_latency_seconds": 60.0}, 1),
        (
            "no promise is shorter than a pod's start",
            a_load(ready=41),
            0,
            {"pod_start_seconds": 60.0},
            1,
        ),
        ("more slots a pod, fewer pods", a_load(ready=41), 0, {"slots_per_pod": 8}, 3),
        ("min stands without any load", a_load(), 0, {"min_replicas": 2}, 2),
        ("max of zero starts nobody", a_load(ready=5), 0, {"max_replicas": 0}, 0),
        (
            "long tasks fill the mean of a newcomer",
            a_load(ready=8, completions_total=1000, busy_seconds_total=240_000.0),
            0,
            {},
            3,
        ),
        (
            "what waits comes on top of what runs",
            a_load(ready=8, in_flight=12, completions_total=9, busy_seconds_total=45.0),
            3,
            {},
            5,
        ),
        ("lost leases of dead workers wake nobody", a_load(in_flight=4), 0, {}, 0),
    ],
)
def test_the_first_reading_gives(
    situation: str, load: Load, current: int, changes: dict[str, int], replicas: int
) -> None:
    _, decision = decide(LawState(), a_reading(1.0, load, current=current), a_target(**changes))

    assert decision.replicas == replicas, situation


def test_a_decision_out_says_why_in_one_sentence() -> None:
    state, _ = decide(LawState(), a_reading(0, a_load(), current=3), a_target())

    _, decision = decide(state, a_reading(2, a_load(41, arrivals_total=41), current=3), a_target())

    assert decision.direction is Direction.OUT
    assert decision.why == "41 ready, 3.7/s × 5.0 s, target 10 s"


def test_arrivals_alone_bring_workers_before_anything_waits_long() -> None:
    state, decision = LawState(), None
    for now in range(0, 120, 2):
        load = a_load(in_flight=4, arrivals_total=4 * now)
        state, decision = decide(state, a_reading(now, load, current=1), a_target(max_replicas=40))

    # 4/s times 5 s: 20 slots and √20 for safety, but no more than tasks could use:
    # 4 in flight, 32 that arrive while a pod starts, and the same margin.
    assert decision is not None
    assert decision.replicas == 7


def learn_rate(*loads: Load) -> float:
    """Return the rate after these loads, two seconds apart."""
    state = LawState()
    for place, load in enumerate(loads):
        state, _ = decide(state, a_reading(2 * place, load, current=1), a_target())
    return state.rate_per_second


def test_a_task_arrives_when_its_time_comes() -> None:
    tomorrow = a_load(scheduled_tasks=100, arrivals_total=100)
    due = a_load(ready=100, arrivals_total=100)

    assert learn_rate(a_load(), tomorrow, tomorrow) == 0
    assert learn_rate(tomorrow, due) == learn_rate(a_load(), due) > 9


def test_tasks_that_were_done_at_once_when_their_time_came_arrived_too() -> None:
    before = a_load(scheduled_tasks=100, arrivals_total=100)
    after = a_load(arrivals_total=100, completions_total=100, busy_seconds_total=1.0)

    assert learn_rate(before, after) > 9


def test_scheduled_tasks_that_are_cancelled_do_not_arrive() -> None:
    busy = a_load(in_flight=4, scheduled_tasks=1000, arrivals_total=1000)
    cancelled = replace(
        busy, scheduled_tasks=0, arrivals_total=1004, completions_total=4, busy_seconds_total=9.0
    )
    usual = replace(cancelled, scheduled_tasks=1000)

    assert learn_rate(busy, cancelled) == learn_rate(busy, usual)


def test_tasks_that_wait_for_their_retry_have_arrived_all_the_same() -> None:
    failing = [
        a_load(scheduled_tasks=20 * n, arrivals_total=20 * n, completions_total=20 * n)
        for n in range(60)
    ]
    working = [replace(load, scheduled_tasks=0) for load in failing]

    assert learn_rate(*failing) == learn_rate(*working) > 9


def test_the_mean_service_time_follows_the_tasks() -> None:
    state, decision = LawState(), None
    for now in range(0, 1200, 2):
        load = a_load(arrivals_total=now, completions_total=now, busy_seconds_total=20.0 * now)
        state, decision = decide(state, a_reading(now, load, current=1), a_target())

    assert decision is not None
    assert decision.terms is not None
    # The prior weighs as much as 20 tasks among the 300 remembered.
    assert decision.terms.service_seconds == pytest.approx(19.06, abs=0.1)


def test_scale_in_waits_until_two_minutes_have_been_watched() -> None:
    _, decisions = watch(a_load(in_flight=1), current=8, seconds=200)

    first = next(now for now, decision in decisions if decision.direction is Direction.IN)
    assert first == 120


def test_who_is_to_go_is_told_before_anybody_can_go() -> None:
    state, seen = LawState(), []
    for now in range(0, 200, 2):
        reading = a_reading(now, a_load(in_flight=1), current=8, removable=0)
        state, decision = decide(state, reading, a_target())
        seen.append((decision.goal_replicas, decision.replicas))

    # A quarter, and not a second one for the time that the first takes to finish.
    assert seen == [(8, 8)] * 60 + [(6, 8)] * 40


def test_nobody_is_to_go_while_the_number_is_held() -> None:
    assert hold(5, a_target(), "Blind", "cannot see").goal_replicas == 5


def test_scale_in_takes_at_most_a_quarter_a_minute() -> None:
    _, decisions = watch(a_load(in_flight=1), current=8, seconds=400)

    steps = [(now, d.replicas) for now, d in decisions if d.direction is Direction.IN]
    assert steps == [(120, 6), (182, 4), (244, 3), (306, 2), (368, 1)]


def test_scale_in_follows_the_peak_of_two_minutes() -> None:
    state, decisions, current = LawState(), [], 8
    for now in range(0, 300, 2):
        load = a_load(ready=64 if now == 100 else 0, in_flight=1)
        state, decision = decide(state, a_reading(now, load, current=current), a_target())
        decisions.append((now, decision))

    first = next(now for now, decision in decisions if decision.direction is Direction.IN)
    assert first == 222


def test_two_workers_too_many_among_twenty_one_stay_within_the_dead_band() -> None:
    state, decisions = watch(
        a_load(in_flight=73), current=21, seconds=600, target=a_target(max_replicas=40)
    )

    assert state.peak_wish == 19
    assert {decision.replicas for _, decision in decisions} == {21}


def test_a_busy_worker_is_never_taken() -> None:
    state, current = LawState(), 8
    for now in range(0, 2000, 2):
        # One long task in each of five pods: two pods' worth of slots.
        reading = a_reading(now, a_load(in_flight=5), current=current, removable=current - 5)
        state, decision = decide(state, reading, a_target())
        current = decision.replicas

    assert current == 5


def test_an_idle_pool_keeps_a_worker_warm_then_goes_to_zero_at_once() -> None:
    _, decisions = watch(a_load(), current=3, seconds=400)

    steps = [(now, d.replicas, d.why) for now, d in decisions if d.direction is Direction.IN]
    assert steps[:2] == [
        (120, 2, steps[0][2]),
        (182, 1, steps[1][2]),
    ]
    assert steps[2:] == [(300, 0, "nothing to do for 300 s")]


def test_an_idle_pool_goes_straight_to_min_from_any_size() -> None:
    target = a_target(idle_after_seconds=30.0, min_replicas=1)

    _, decisions = watch(a_load(), current=9, seconds=60, target=target)

    steps = [(now, d.replicas) for now, d in decisions if d.direction is Direction.IN]
    assert steps == [(30, 1)]


def test_zero_takes_three_idle_readings_even_when_the_time_is_up() -> None:
    target, state, seen = a_target(idle_after_seconds=1.0), LawState(), []
    for now in (0, 20, 40, 60):
        load = a_load(ready=1 if now == 0 else 0)
        state, decision = decide(state, a_reading(now, load, current=1), target)
        seen.append(decision.replicas)

    assert seen == [1, 1, 1, 0]


def test_tasks_too_quick_to_be_seen_keep_the_pool_awake() -> None:
    state, seen = LawState(), set()
    for now in range(0, 1000, 2):
        load = a_load(arrivals_total=now // 100, completions_total=now // 100)
        state, decision = decide(state, a_reading(now, load, current=1), a_target())
        seen.add(decision.replicas)

    assert seen == {1}


def test_a_restarted_operator_takes_the_running_tasks_for_the_load() -> None:
    load = a_load(in_flight=36, completions_total=5000, busy_seconds_total=150_000.0)

    _, decision = decide(LawState(), a_reading(7000, load, current=10), a_target())

    assert decision.terms is not None
    assert decision.terms.load_slots == pytest.approx(36)
    assert decision.replicas == 10


def test_a_gap_in_the_readings_starts_the_window_anew() -> None:
    state, _ = watch(a_load(in_flight=1), current=1, seconds=200)
    seen = {}
    for now in range(600, 800, 2):
        state, decision = decide(state, a_reading(now, a_load(in_flight=1), current=8), a_target())
        seen[now] = decision.replicas

    assert next(now for now, replicas in seen.items() if replicas < 8) == 720


@pytest.mark.parametrize(
    ("reading", "reason"),
    [
        (a_reading(4, a_load(ready=-1), current=3), "ImpossibleReading"),
        (a_reading(4, a_load(in_flight=-1), current=3), "ImpossibleReading"),
        (a_reading(4, a_load(scheduled_tasks=-1), current=3), "ImpossibleReading"),
        (
            a_reading(4, a_load(oldest_ready_age_seconds=float("nan")), current=3),
            "ImpossibleReading",
        ),
        (a_reading(4, a_load(busy_seconds_total=float("inf")), current=3), "ImpossibleReading"),
        (a_reading(4, a_load(ready=90, arrivals_total=9), current=3), "CountersWentBack"),
        (a_reading(2, a_load(ready=90, arrivals_total=10), current=3), "ClockStoodStill"),
    ],
)
def test_a_reading_that_cannot_be_holds_the_number(reading: Reading, reason: str) -> None:
    state, _ = decide(LawState(), a_reading(2, a_load(arrivals_total=10), current=3), a_target())

    _, decision = decide(state, reading, a_target())

    assert decision.replicas == 3
    assert decision.direction is Direction.HOLD
    assert not decision.active.is_true
    assert decision.active.reason == reason


def test_counters_that_went_back_are_the_base_of_the_next_reading() -> None:
    state, _ = decide(LawState(), a_reading(2, a_load(arrivals_total=10**6), current=1), a_target())
    state, _ = decide(state, a_reading(4, a_load(arrivals_total=5), current=1), a_target())

    _, decision = decide(
        state, a_reading(6, a_load(ready=1, arrivals_total=6), current=1), a_target()
    )

    assert decision.active.is_true
    assert decision.replicas == 1


def test_pruned_worker_rows_do_not_disturb_the_mean() -> None:
    before = a_load(completions_total=10_000, busy_seconds_total=70_000.0)
    state, _ = decide(LawState(), a_reading(2, before, current=1), a_target())

    after = a_load(completions_total=40, busy_seconds_total=280.0)
    _, decision = decide(state, a_reading(4, after, current=1), a_target())

    assert decision.active.is_true
    assert decision.terms is not None
    assert decision.terms.service_seconds == pytest.approx(6.0, abs=0.1)


def test_failing_workers_are_not_given_company() -> None:
    reading = a_reading(2, a_load(ready=500), current=4, failing=3)

    _, decision = decide(LawState(), reading, a_target())

    assert decision.replicas == 4
    assert decision.limited.is_true
    assert decision.limited.reason == "WorkersFailing"


def test_half_of_the_workers_failing_is_not_yet_too_many() -> None:
    reading = a_reading(2, a_load(ready=500), current=4, failing=2)

    _, decision = decide(LawState(), reading, a_target())

    assert decision.replicas == 10


def test_max_is_named_when_it_limits() -> None:
    _, decision = decide(LawState(), a_reading(2, a_load(ready=500)), a_target())

    assert decision.limited.reason == "TooManyReplicas"
    assert decision.limited.message == "the load asks for more than max, 10 workers"


@pytest.mark.parametrize("changes", [{}, {"max_replicas": 20, "connection_limit_replicas": 10}])
def test_a_load_around_the_bound_is_limited_until_the_window_has_passed(
    changes: dict[str, int],
) -> None:
    state, limited_at = LawState(), []
    for now in range(0, 300, 2):
        # 11 workers and 10 in turn, and only 10 from the first minute on.
        load = a_load(ready=85 if now < 60 and now % 4 == 0 else 75)
        state, decision = decide(state, a_reading(now, load, current=10), a_target(**changes))
        if decision.limited.is_true:
            limited_at.append(now)

    last_wish_above = 56
    assert limited_at == list(range(0, last_wish_above + 120 + 1, 2))


def test_the_connections_of_postgres_limit_below_max() -> None:
    target = a_target(connection_limit_replicas=6)

    _, decision = decide(LawState(), a_reading(2, a_load(ready=500)), target)

    assert decision.replicas == 6
    assert decision.limited.reason == "DatabaseConnections"


def test_the_connections_of_postgres_never_push_below_min() -> None:
    target = a_target(connection_limit_replicas=1, min_replicas=3)

    _, decision = decide(LawState(), a_reading(2, a_load()), target)

    assert decision.replicas == 3


def test_a_lowered_max_frees_idle_workers_at_once() -> None:
    reading = a_reading(2, a_load(ready=500, in_flight=12), current=10, removable=7)

    _, decision = decide(LawState(), reading, a_target(max_replicas=4))

    assert decision.replicas == 4


def test_a_lowered_max_waits_for_busy_workers() -> None:
    reading = a_reading(2, a_load(ready=500, in_flight=12), current=10, removable=2)

    _, decision = decide(LawState(), reading, a_target(max_replicas=4))

    assert decision.replicas == 8
    assert decision.desired_replicas == 4


def test_holding_still_honours_min() -> None:
    decision = hold(0, a_target(min_replicas=2), "LoadUnavailable", "no answer")

    assert decision.replicas == 2
