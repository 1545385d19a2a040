"""Counting pods, choosing who drains and who goes, and measuring how long they take to start."""

from datetime import timedelta
from uuid import NAMESPACE_OID, UUID, uuid5

import pytest

from operator_testing.fake_scaling import EPOCH
from orchestrator_core.load import WorkerPresence
from orchestrator_operator.worker_pods import (
    LONGEST_START_SECONDS,
    Move,
    ObservedWorkers,
    Occupancy,
    PodStarts,
    WorkerPod,
    count_pods,
    pick_any,
    pick_drained,
    plan_cordons,
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


def a_process(
    pod_name: str, busy: int = 0, *, rests: bool = False, cordoned: bool | None = None
) -> WorkerPresence:
    return WorkerPresence(
        worker_id=id_of(pod_name),
        pod_name=pod_name,
        slots=4,
        busy_slots=busy,
        is_cordoned=rests if cordoned is None else cordoned,
        is_resting=rests,
        started_at=EPOCH,
    )


def id_of(pod_name: str) -> UUID:
    return uuid5(NAMESPACE_OID, pod_name)


def reports(*processes: WorkerPresence) -> Occupancy:
    return Occupancy.from_presences(processes)


def test_unready_pods_go_first_then_the_youngest() -> None:
    seen = workers(a_pod("old", born=1), a_pod("new", born=9), a_pod("starting", ready_after=None))
    said = reports(a_process("old", rests=True), a_process("new", rests=True))

    assert pick_drained(seen, said, in_flight_tasks=1) == ("starting", "new", "old")


def test_only_a_pod_that_rests_and_runs_nothing_goes() -> None:
    names = ("busy", "idle", "cordoned", "finishing", "silent", "drained")
    seen = workers(*map(a_pod, names))
    said = reports(
        a_process("busy", 2),
        a_process("idle"),
        a_process("cordoned", cordoned=True),
        a_process("finishing", 1, rests=True),
        a_process("drained", rests=True),
    )

    assert pick_drained(seen, said, in_flight_tasks=3) == ("drained",)


def test_a_container_that_restarted_must_rest_with_all_its_processes() -> None:
    said = reports(a_process("pod", rests=True), a_process("pod"))

    assert pick_drained(workers(a_pod("pod")), said, in_flight_tasks=1) == ()


def test_silent_pods_may_go_when_nothing_is_in_flight() -> None:
    ranked = pick_drained(workers(a_pod("silent")), reports(), in_flight_tasks=0)

    assert ranked == ("silent",)


@pytest.mark.parametrize(
    "seen",
    [
        workers(a_pod("drained"), a_pod("busy"), rolling=True),
        workers(a_pod("drained"), a_pod("busy"), replicas=1),
        workers(a_pod("drained"), a_pod("busy", ready_after=None)),
    ],
    ids=["during a rollout", "while others are still going", "when a busy one would go first"],
)
def test_nobody_is_chosen(seen: ObservedWorkers) -> None:
    said = reports(a_process("drained", rests=True), a_process("busy", 1))

    assert pick_drained(seen, said, in_flight_tasks=1) == ()


def test_during_a_rollout_all_may_go_when_nothing_runs() -> None:
    seen = workers(a_pod("old"), a_pod("new", born=5), rolling=True)

    ranked = pick_drained(seen, reports(a_process("old"), a_process("new")), in_flight_tasks=0)

    assert ranked == ("new", "old")


def test_those_drain_who_would_go_first_and_give_up_least() -> None:
    seen = workers(
        a_pod("full"), a_pod("half"), a_pod("young", born=9), a_pod("sick", ready_after=None)
    )
    said = reports(
        a_process("full", 4), a_process("half", 2), a_process("young", 2), a_process("sick", 3)
    )

    cordons = [plan_cordons(seen, said, goal).cordon for goal in (3, 2, 1)]

    ranked = tuple(map(id_of, ("sick", "young", "half")))
    assert cordons == [ranked[:1], ranked[:2], ranked[:3]]
    assert plan_cordons(seen, said, 2).new_busy_pods == ("sick", "young")


def test_who_drains_goes_on_whoever_is_less_busy_by_now() -> None:
    seen = workers(a_pod("draining"), a_pod("idle"))
    said = reports(a_process("draining", 3, rests=True), a_process("idle"))

    cordons = plan_cordons(seen, said, 1)

    # The cordon is renewed, and is no news.
    assert (cordons.cordon, cordons.uncordon) == ((id_of("draining"),), ())
    assert cordons.new_busy_pods == ()


def test_when_fewer_are_to_go_the_busiest_are_let_in_again() -> None:
    seen = workers(a_pod("full"), a_pod("half"))
    said = reports(a_process("full", 4, rests=True), a_process("half", 2, rests=True))

    assert plan_cordons(seen, said, 1).uncordon == (id_of("full"),)
    assert set(plan_cordons(seen, said, 2).uncordon) == {id_of("full"), id_of("half")}


def test_pods_that_are_not_made_yet_need_no_cordon() -> None:
    seen = workers(a_pod("a"), a_pod("b"), replicas=4)
    said = reports(a_process("a", 1), a_process("b", 2))

    assert plan_cordons(seen, said, 2).cordon == ()
    assert plan_cordons(seen, said, 1).cordon == (id_of("a"),)


def test_a_rollout_chooses_nobody_new() -> None:
    seen = workers(a_pod("draining"), a_pod("idle"), rolling=True)
    said = reports(a_process("draining", 1, rests=True), a_process("idle"))

    assert plan_cordons(seen, said, 0).cordon == (id_of("draining"),)
    assert plan_cordons(seen, said, 2).uncordon == (id_of("draining"),)


def test_nothing_changes_while_drained_pods_are_going() -> None:
    seen = workers(a_pod("going"), a_pod("draining"), a_pod("busy"), replicas=2)
    said = reports(
        a_process("going", rests=True), a_process("draining", 1, rests=True), a_process("busy", 1)
    )

    cordons = plan_cordons(seen, said, 2)

    assert set(cordons.cordon) == {id_of("going"), id_of("draining")}
    assert cordons.uncordon == ()


def test_where_the_number_is_fixed_the_least_busy_go_first() -> None:
    seen = workers(a_pod("full"), a_pod("half"), a_pod("starting", ready_after=None))
    said = reports(a_process("full", 4), a_process("half", 2))

    assert pick_any(seen, said) == ("starting", "half", "full")


def test_pods_are_counted_as_the_law_wants_them() -> None:
    seen = workers(
        a_pod("busy"), a_pod("drained"), a_pod("broken", ready_after=None, failing=True), replicas=5
    )
    said = reports(a_process("busy", 1), a_process("drained", rests=True))

    counts = count_pods(seen, said, in_flight_tasks=1)

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
