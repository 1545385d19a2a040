"""What the law promises for any load, any past and any resource."""

import math
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from orchestrator_core.load import Load
from orchestrator_operator.autoscaling import (
    Decision,
    Direction,
    LawState,
    PodCounts,
    Reading,
    ScalingTarget,
    decide,
)

CONVERGED_SECONDS = 3600

counts = st.integers(min_value=0, max_value=5000)
seconds = st.floats(min_value=0, max_value=1e6)


@st.composite
def targets(draw: st.DrawFn) -> ScalingTarget:
    low = draw(st.integers(min_value=0, max_value=20))
    return ScalingTarget(
        min_replicas=low,
        max_replicas=draw(st.integers(min_value=low, max_value=100)),
        slots_per_pod=draw(st.integers(min_value=1, max_value=64)),
        target_latency_seconds=draw(st.floats(min_value=1, max_value=3600)),
        idle_after_seconds=draw(st.floats(min_value=0, max_value=3600)),
        pod_start_seconds=draw(st.floats(min_value=1, max_value=60)),
        connection_limit_replicas=draw(st.none() | st.integers(min_value=0, max_value=100)),
    )


@st.composite
def readings(draw: st.DrawFn, *, now: float, since: Load | None = None) -> Reading:
    base = since or Load(
        ready_tasks=0,
        in_flight_tasks=0,
        scheduled_tasks=0,
        oldest_ready_age_seconds=0.0,
        arrivals_total=0,
        completions_total=0,
        busy_seconds_total=0.0,
    )
    load = Load(
        ready_tasks=draw(counts),
        in_flight_tasks=draw(counts),
        scheduled_tasks=draw(counts),
        oldest_ready_age_seconds=draw(seconds),
        arrivals_total=base.arrivals_total + draw(counts),
        completions_total=base.completions_total + draw(counts),
        busy_seconds_total=base.busy_seconds_total + draw(seconds),
    )
    living = draw(st.integers(min_value=0, max_value=100))
    removable = draw(st.integers(min_value=0, max_value=living))
    failing = draw(st.integers(min_value=0, max_value=living))
    pods = PodCounts(living=living, removable=removable, failing=failing)
    return Reading(now_seconds=now, load=load, current_replicas=living, pods=pods)


@st.composite
def pasts(draw: st.DrawFn) -> tuple[LawState, ScalingTarget, Reading]:
    """Build a law with a past of a few readings, and the reading that comes next."""
    target, state, now, load = draw(targets()), LawState(), 1.0, None
    for _ in range(draw(st.integers(min_value=0, max_value=4))):
        reading = draw(readings(now=now, since=load))
        state, _ = decide(state, reading, target)
        now, load = now + draw(st.sampled_from([0.1, 1.0, 2.0, 29.0, 125.0])), reading.load
    return state, target, draw(readings(now=now, since=load))


@given(pasts())
def test_what_is_desired_lies_within_the_bounds(
    past: tuple[LawState, ScalingTarget, Reading],
) -> None:
    state, target, reading = past

    _, decision = decide(state, reading, target)

    assert target.min_replicas <= decision.desired_replicas <= target.max_replicas
    assert decision.replicas >= target.min_replicas


@given(pasts())
def test_nothing_ever_moves_further_out_than_max(
    past: tuple[LawState, ScalingTarget, Reading],
) -> None:
    state, target, reading = past

    _, decision = decide(state, reading, target)

    assert decision.replicas <= max(target.max_replicas, reading.current_replicas)


@given(pasts())
def test_whoever_waits_finds_a_worker(past: tuple[LawState, ScalingTarget, Reading]) -> None:
    state, target, reading = past

    _, decision = decide(state, reading, target)

    if reading.load.ready_tasks > 0 and target.ceiling_replicas > 0:
        assert decision.desired_replicas >= 1
        assert decision.replicas >= 1


@given(pasts(), counts)
def test_more_waiting_tasks_never_bring_fewer_workers(
    past: tuple[LawState, ScalingTarget, Reading], more: int
) -> None:
    state, target, reading = past
    load = replace(reading.load, ready_tasks=reading.load.ready_tasks + more)

    _, fewer_wait = decide(state, reading, target)
    _, more_wait = decide(state, replace(reading, load=load), target)

    assert more_wait.replicas >= fewer_wait.replicas
    assert more_wait.desired_replicas >= fewer_wait.desired_replicas


@given(pasts())
def test_only_removable_workers_are_given_up(
    past: tuple[LawState, ScalingTarget, Reading],
) -> None:
    state, target, reading = past

    _, decision = decide(state, reading, target)

    assert decision.replicas >= reading.current_replicas - reading.pods.removable


@given(pasts())
def test_tasks_in_flight_keep_their_slots(past: tuple[LawState, ScalingTarget, Reading]) -> None:
    state, target, reading = past

    _, decision = decide(state, reading, target)

    needed = math.ceil(reading.load.in_flight_tasks / target.slots_per_pod)
    assert decision.replicas >= min(reading.current_replicas, needed, target.ceiling_replicas)


@given(pasts(), st.sampled_from([-1, float("nan"), float("inf")]), st.sampled_from(range(7)))
def test_an_impossible_number_holds_and_teaches_nothing(
    past: tuple[LawState, ScalingTarget, Reading], wrong: float, where: int
) -> None:
    state, target, reading = past
    change: dict[str, Any] = {tuple(Load.__dataclass_fields__)[where]: wrong}
    load = replace(reading.load, **change)

    after, decision = decide(state, replace(reading, load=load), target)

    assert decision.direction is Direction.HOLD
    assert decision.replicas == max(reading.current_replicas, target.min_replicas)
    assert after == state


@given(st.lists(st.integers(min_value=-1000, max_value=1000), max_size=20))
def test_what_may_not_run_yet_asks_for_nobody(changes: list[int]) -> None:
    state, scheduled, accepted = LawState(), 0, 0
    target = ScalingTarget(min_replicas=1)
    for now, change in enumerate(changes):
        # More of them are submitted, or some are cancelled.
        scheduled, accepted = max(0, scheduled + change), accepted + max(0, change)
        load = Load(
            ready_tasks=0,
            in_flight_tasks=0,
            scheduled_tasks=scheduled,
            oldest_ready_age_seconds=0.0,
            arrivals_total=accepted,
            completions_total=0,
            busy_seconds_total=0.0,
        )
        pods = PodCounts(living=1, removable=1)
        reading = Reading(now_seconds=now, load=load, current_replicas=1, pods=pods)
        state, decision = decide(state, reading, target)

        assert (state.rate_per_second, decision.replicas) == (0, 1)


@given(
    rate=st.floats(min_value=0, max_value=50),
    service_seconds=st.floats(min_value=0.05, max_value=300),
    current=st.integers(min_value=0, max_value=40),
    target=targets(),
)
def test_a_constant_load_comes_to_rest(
    rate: float, service_seconds: float, current: int, target: ScalingTarget
) -> None:
    settled = [
        decision.replicas
        for now, decision in _under_constant_load(rate, service_seconds, current, target)
        if now > CONVERGED_SECONDS
    ]

    assert len(set(settled)) == 1


def _under_constant_load(
    rate: float, service_seconds: float, current: int, target: ScalingTarget
) -> list[tuple[int, Decision]]:
    """Feed arrivals and completions in lockstep, with the pool as the law wants it."""
    state, decisions = LawState(), []
    for now in range(0, CONVERGED_SECONDS + 300, 10):
        arrived = math.floor(rate * now)
        load = Load(
            ready_tasks=0,
            in_flight_tasks=math.floor(rate * service_seconds) if current else 0,
            scheduled_tasks=0,
            oldest_ready_age_seconds=0.0,
            arrivals_total=arrived,
            completions_total=arrived,
            busy_seconds_total=arrived * service_seconds,
        )
        pods = PodCounts(living=current, removable=current)
        reading = Reading(now_seconds=now, load=load, current_replicas=current, pods=pods)
        state, decision = decide(state, reading, target)
        current = decision.replicas
        decisions.append((now, decision))
    return decisions
