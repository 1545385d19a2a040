"""Counting pods, choosing who goes, and measuring how long they take to start."""

from datetime import timedelta

import pytest

from operator_testing.fake_scaling import EPOCH
from orchestrator_operator.worker_pods import (
    LONGEST_START_SECONDS,
    Move,
    ObservedWorkers,
    Occupancy,
    PodStarts,
    WorkerPod,
    count_pods,
    pick_any,
    pick_idle,
    plan_move,
)


def a_pod(
    name: str, *, born: int = 0, ready_after: int | None = 4, cost: int = 0, failing: bool = False
) -> WorkerPod:
    created_at = EPOCH + timedelta(seconds=born)
    ready_at = None if ready_after is None else created_at + timedelta(seconds=ready_after)
    return WorkerPod(
        name=name, created_at=created_at, ready_at=ready_at, is_failing=failing, deletion_cost=cost
    )


def workers(
    *pods: WorkerPod, replicas: int | None = None, rolling: bool = False
) -> ObservedWorkers:
    number = len(pods) if replicas is None else replicas
    return ObservedWorkers(replicas=number, is_rolling_out=rolling, pods=pods)


def test_unready_pods_go_first_then_idle_ones_youngest_first() -> None:
    seen = workers(a_pod("old", born=1), a_pod("new", born=9), a_pod("starting", ready_after=None))

    ranked = pick_idle(seen, Occupancy({"old": 0, "new": 0}), in_flight_tasks=1)

    assert ranked == ("starting", "new", "old")


def test_busy_and_silent_pods_are_no_victims() -> None:
    seen = workers(a_pod("busy"), a_pod("silent"), a_pod("idle"))

    ranked = pick_idle(seen, Occupancy({"busy": 2, "idle": 0}), in_flight_tasks=2)

    assert ranked == ("idle",)


def test_silent_pods_may_go_when_nothing_is_in_flight() -> None:
    ranked = pick_idle(workers(a_pod("silent")), Occupancy({}), in_flight_tasks=0)

    assert ranked == ("silent",)


@pytest.mark.parametrize(
    "seen",
    [
        workers(a_pod("idle"), a_pod("busy"), rolling=True),
        workers(a_pod("idle"), a_pod("busy"), replicas=1),
        workers(a_pod("idle"), a_pod("busy", ready_after=None)),
    ],
    ids=["during a rollout", "while others are still going", "when a busy one would go first"],
)
def test_nobody_is_chosen(seen: ObservedWorkers) -> None:
    assert pick_idle(seen, Occupancy({"idle": 0, "busy": 1}), in_flight_tasks=1) == ()


def test_where_the_number_is_fixed_the_least_busy_go_first() -> None:
    seen = workers(a_pod("full"), a_pod("half"), a_pod("starting", ready_after=None))

    assert pick_any(seen, Occupancy({"full": 4, "half": 2})) == ("starting", "half", "full")


def test_pods_are_counted_as_the_law_wants_them() -> None:
    seen = workers(
        a_pod("busy"), a_pod("idle"), a_pod("broken", ready_after=None, failing=True), replicas=5
    )

    counts = count_pods(seen, Occupancy({"busy": 1, "idle": 0}), in_flight_tasks=1)

    # Two pods are not made yet: giving up their replicas costs nobody anything.
    assert (counts.living, counts.failing, counts.removable) == (3, 1, 4)


def test_a_move_in_marks_exactly_the_victims_and_clears_old_marks() -> None:
    seen = workers(a_pod("a"), a_pod("b", cost=-1000), a_pod("c"), a_pod("mine", cost=5))

    move = plan_move(seen, 3, ("c", "a"))

    assert move == Move(replicas=3, costs={"b": 0, "c": -1000})


def test_a_move_in_stops_where_the_victims_end() -> None:
    seen = workers(a_pod("a"), a_pod("b"), a_pod("c"))

    assert plan_move(seen, 0, ("c",)) == Move(replicas=2, costs={"c": -1000})


def test_replicas_without_pods_go_before_any_victim() -> None:
    seen = workers(a_pod("a"), a_pod("b"), replicas=5)

    assert plan_move(seen, 2, ("b", "a")) == Move(replicas=2, costs={})


def test_nobody_is_marked_when_all_go() -> None:
    assert plan_move(workers(a_pod("a"), a_pod("b")), 0, ("a", "b")) == Move(replicas=0, costs={})


def test_marks_at_work_are_left_alone() -> None:
    seen = workers(a_pod("a"), a_pod("going", cost=-1000), replicas=1)

    assert plan_move(seen, 1, ()) == Move(replicas=1, costs={})


def test_the_start_that_nine_of_ten_pods_beat_is_measured_once_each() -> None:
    pods = [a_pod(f"p{i}", born=i, ready_after=i) for i in range(1, 11)]

    starts = PodStarts(watched_since=EPOCH).with_pods(pods).with_pods(pods)

    assert len(starts.seconds) == 10
    assert starts.p90_seconds(8.0) == 9.0


def test_pods_older_than_the_watch_tell_nothing() -> None:
    starts = PodStarts(watched_since=EPOCH + timedelta(seconds=5))

    assert starts.with_pods([a_pod("old", born=1)]).p90_seconds(8.0) == 8.0


def test_a_pod_that_waited_for_a_node_does_not_stretch_the_promise() -> None:
    starts = PodStarts(watched_since=EPOCH).with_pods([a_pod("late", ready_after=3600)])

    assert starts.p90_seconds(8.0) == LONGEST_START_SECONDS


def test_what_was_measured_outlives_the_pods() -> None:
    starts = PodStarts(watched_since=EPOCH).with_pods([a_pod("a", ready_after=3)]).with_pods([])

    assert starts.p90_seconds(8.0) == 3.0
