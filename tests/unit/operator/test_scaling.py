"""The loop: what it writes, when, and what it tells."""

import asyncio
from dataclasses import replace

import pytest

from operator_testing.fake_scaling import ScalingScene, a_load
from orchestrator_core.errors import StoreUnavailableError
from orchestrator_core.load import Load
from orchestrator_operator.clock import SystemClock
from orchestrator_operator.scaling import to_rounded

AWAY = StoreUnavailableError("postgres", "read the load")


async def test_the_first_task_wakes_workers_within_a_second_of_virtual_time() -> None:
    scene = ScalingScene(until_seconds=10)
    scene.source.script = lambda now: a_load(ready=300 if now >= 5 else 0)

    await scene.run()

    assert scene.workers.written == [(5.0, 10)]


async def test_scaling_out_is_told_in_one_sentence() -> None:
    scene = ScalingScene(replicas=3, load=a_load(ready=41))

    await scene.step()

    told = "3→6: 41 ready, 0.0/s × 5.0 s, target 10 s"
    assert scene.workers.events == [("ScaledOut", told)]
    assert scene.scaler.state.reason == told
    assert scene.scaler.state.desired_replicas == 6
    assert scene.scaler.state.last_scale_time is not None


async def test_nothing_is_written_or_told_while_nothing_changes() -> None:
    scene = ScalingScene(replicas=2, load=a_load(in_flight=3))
    scene.all_report(busy=1)

    await scene.step(times=50)

    assert scene.workers.written == []
    assert scene.workers.events == []


async def test_scale_in_takes_idle_workers_youngest_first_and_no_other() -> None:
    scene = ScalingScene(replicas=8, load=a_load(in_flight=6))
    busy = ("worker-2", "worker-7", "worker-8")
    for name in busy:
        scene.source.busy_slots[name] = 2

    await scene.step(times=400)

    assert set(scene.workers.removed[:2]) == {"worker-6", "worker-5"}
    assert [pod.name for pod in scene.workers.pods] == list(busy)


async def test_a_worker_that_has_not_reported_counts_as_busy() -> None:
    scene = ScalingScene(replicas=4, load=a_load(in_flight=1))
    del scene.source.busy_slots["worker-4"]
    del scene.source.busy_slots["worker-3"]

    await scene.step(times=400)

    assert {"worker-3", "worker-4"} <= {pod.name for pod in scene.workers.pods}


async def test_a_worker_that_works_goes_when_it_has_finished_and_not_before() -> None:
    scene = ScalingScene(replicas=2, load=a_load(in_flight=2), idle_after_seconds=10_000.0)
    scene.all_report(busy=1)
    await scene.step(times=70)
    cordoned, removed = set(scene.source.cordoned), list(scene.workers.removed)

    scene.source.busy_slots["worker-2"] = 0
    scene.source.load = a_load(in_flight=1)
    await scene.step()

    assert (cordoned, removed) == ({"worker-2"}, [])
    assert scene.workers.removed == ["worker-2"]
    assert scene.workers.events == [
        ("WorkersDraining", "worker-2: to go when what runs there has finished"),
        ("ScaledIn", "2→1: 1 in flight, 0.0/s × 5.0 s, peak of 120 s was 1"),
    ]


async def test_an_idle_worker_goes_only_when_it_has_heard_of_its_cordon() -> None:
    scene = ScalingScene(replicas=2, load=a_load(in_flight=1), idle_after_seconds=10_000.0)
    scene.source.busy_slots["worker-1"] = 1
    scene.source.deaf = {"worker-2"}

    await scene.step(times=100)
    removed = list(scene.workers.removed)
    scene.source.deaf = set()
    await scene.step()

    assert removed == []
    assert scene.workers.removed == ["worker-2"]


async def test_a_worker_that_drains_is_let_in_again_when_load_comes() -> None:
    scene = ScalingScene(replicas=2, load=a_load(in_flight=2), idle_after_seconds=10_000.0)
    scene.all_report(busy=1)
    await scene.step(times=70)
    before = set(scene.source.cordoned)

    scene.source.load = a_load(ready=30, in_flight=2)
    await scene.step()

    assert (before, scene.source.cordoned) == ({"worker-2"}, set())
    assert scene.workers.removed == []
    assert scene.reasons[:2] == ["WorkersDraining", "WorkersResumed"]


async def test_a_lowered_bound_lets_busy_workers_finish() -> None:
    scene = ScalingScene(replicas=4, load=a_load(ready=90, in_flight=16), max_replicas=4)
    scene.all_report(busy=4)
    await scene.step()
    scene.scaler.retarget(replace(scene.target, max_replicas=1))

    await scene.step(times=10)
    removed = list(scene.workers.removed)
    for name in scene.source.cordoned:
        scene.source.busy_slots[name] = 0
    await scene.step(times=2)

    assert removed == []
    assert sorted(scene.workers.removed) == ["worker-2", "worker-3", "worker-4"]


async def test_a_cordon_that_could_not_be_written_is_tried_again_and_nobody_goes() -> None:
    scene = ScalingScene(replicas=2, load=a_load(in_flight=2), idle_after_seconds=10_000.0)
    scene.all_report(busy=1)
    scene.source.cordon_error = AWAY
    await scene.step(times=70)
    state, cordoned = scene.scaler.state, set(scene.source.cordoned)

    scene.source.cordon_error = None
    await scene.step()

    assert (state.is_faulty, cordoned) == (False, set())
    assert scene.source.cordoned == {"worker-2"}
    assert scene.workers.removed == []


async def test_cordons_that_an_earlier_operator_left_are_lifted() -> None:
    scene = ScalingScene(replicas=2, load=a_load(in_flight=1))
    scene.source.cordoned = {"worker-1", "worker-2"}

    await scene.step()

    assert scene.source.cordoned == set()


async def test_no_worker_goes_while_an_unready_one_works() -> None:
    scene = ScalingScene(replicas=4, load=a_load(in_flight=1))
    scene.workers.boot_seconds = 10_000.0
    scene.workers.pods[0] = replace(scene.workers.pods[0], ready_at=None)
    scene.source.busy_slots["worker-1"] = 1

    await scene.step(times=200)

    assert scene.workers.removed == []


async def test_no_worker_goes_during_a_rollout() -> None:
    scene = ScalingScene(replicas=8, load=a_load(in_flight=1))
    scene.workers.is_rolling_out = True

    await scene.step(times=200)

    assert scene.workers.removed == []


async def test_an_idle_pool_goes_to_min_even_during_a_rollout() -> None:
    scene = ScalingScene(replicas=8, min_replicas=1, idle_after_seconds=30.0)
    scene.workers.is_rolling_out = True

    await scene.step(times=30)

    assert scene.workers.written == [(30.0, 1)]


async def test_marks_of_a_scale_in_that_took_others_are_cleared() -> None:
    scene = ScalingScene(replicas=2, load=a_load(in_flight=2))
    await scene.workers.set_deletion_costs({"worker-1": -1000, "worker-2": 7})

    await scene.step()

    assert {pod.name: pod.deletion_cost for pod in scene.workers.pods} == {
        "worker-1": 0,
        "worker-2": 7,  # not ours
    }


@pytest.mark.parametrize("foreign", [0, 1, 20])
async def test_what_somebody_else_writes_is_put_back(foreign: int) -> None:
    scene = ScalingScene(replicas=3, load=a_load(in_flight=9))
    scene.all_report(busy=3)
    await scene.step()
    scene.workers.replicas = foreign
    scene.workers.converge()

    await scene.step()

    assert scene.workers.replicas == 3
    assert scene.workers.events == [
        ("ReplicasRestored", f"{foreign}→3: somebody else wrote spec.replicas")
    ]


async def test_workers_that_somebody_else_added_finish_before_they_go() -> None:
    scene = ScalingScene(replicas=3, load=a_load(in_flight=9))
    scene.all_report(busy=3)
    await scene.step()
    scene.workers.replicas = 4
    scene.workers.converge()
    scene.workers.pods = [replace(pod, ready_at=pod.created_at) for pod in scene.workers.pods]
    scene.source.busy_slots["worker-4"] = 1

    await scene.step(times=3)
    before = (scene.workers.replicas, set(scene.source.cordoned))
    scene.source.busy_slots["worker-4"] = 0
    await scene.step()

    assert before == (4, {"worker-4"})
    assert scene.workers.replicas == 3


async def test_a_load_that_cannot_be_read_holds_the_number_and_says_so_once() -> None:
    scene = ScalingScene(replicas=3, load=a_load(in_flight=9))
    await scene.step()
    scene.source.error = AWAY

    await scene.step(times=20)

    state = scene.scaler.state
    assert scene.workers.written == []
    assert not state.active.is_true
    assert state.is_faulty
    assert state.reason == "held: postgres did not answer: read the load"
    assert scene.reasons == ["LoadUnavailable!"]


async def test_two_missed_readings_are_no_news() -> None:
    scene = ScalingScene(replicas=3, load=a_load(in_flight=9))
    await scene.step()
    scene.source.error = AWAY

    await scene.step(times=2)

    assert scene.scaler.state.active.is_true
    assert scene.workers.events == []


async def test_a_load_never_read_is_news_at_once() -> None:
    scene = ScalingScene(replicas=3)
    scene.source.error = AWAY

    await scene.step()

    assert scene.scaler.state.active.reason == "LoadUnavailable"


async def test_scaling_resumes_when_the_load_is_back() -> None:
    scene = ScalingScene(replicas=3)
    scene.source.error = AWAY
    await scene.step(times=5)
    scene.source.error, scene.source.load = None, a_load(ready=400)

    await scene.step()

    assert scene.workers.replicas == 10
    assert scene.reasons == ["LoadUnavailable!", "ScaledOut", "ScalingResumed", "TooManyReplicas!"]


async def test_a_deployment_that_went_while_the_number_was_held_is_no_resumption() -> None:
    scene = ScalingScene(replicas=3)
    scene.source.error = AWAY
    await scene.step()
    scene.workers.exists = False

    await scene.step()

    assert scene.reasons == ["LoadUnavailable!"]


async def test_a_limit_outlives_a_missed_reading() -> None:
    scene = ScalingScene(load=a_load(ready=400))
    await scene.step()
    scene.source.error = AWAY
    await scene.step()
    scene.source.error = None

    await scene.step()

    assert scene.reasons == ["ScaledOut", "TooManyReplicas!"]


async def test_a_cluster_that_fails_never_ends_the_loop() -> None:
    scene = ScalingScene(until_seconds=20)
    scene.workers.error = OSError("no route")

    await scene.run()

    assert scene.scaler.state.active.reason == "ClusterUnavailable"
    assert scene.scaler.state.is_faulty


async def test_a_write_that_failed_is_tried_again() -> None:
    scene = ScalingScene(load=a_load(ready=400))
    scene.workers.write_error = OSError("connection reset")
    await scene.step()
    scene.workers.write_error = None

    await scene.step()

    assert scene.workers.replicas == 10
    assert scene.reasons[0] == "ScaledOut"


async def test_without_a_deployment_there_is_nothing_to_scale() -> None:
    scene = ScalingScene(load=a_load(ready=5))
    scene.workers.exists = False

    await scene.step()

    assert scene.scaler.state.active.reason == "NoWorkers"
    assert not scene.scaler.state.is_faulty
    assert scene.workers.written == []


async def test_retargeting_takes_effect_at_once() -> None:
    scene = ScalingScene(until_seconds=0)
    running = asyncio.create_task(scene.scaler.run())
    await scene.clock.finished.wait()
    scene.clock.finished.clear()

    scene.scaler.retarget(replace(scene.target, min_replicas=4))

    await scene.clock.finished.wait()
    running.cancel()
    assert scene.workers.written == [(0.0, 4)]


async def test_the_same_target_again_wakes_nobody() -> None:
    door = asyncio.Event()
    scene = ScalingScene()
    scene.scaler._door = door  # noqa: SLF001 - whether it rings is the promise

    scene.scaler.retarget(replace(scene.target))

    assert not door.is_set()


async def test_crash_looping_workers_limit_and_say_so() -> None:
    scene = ScalingScene(replicas=2, load=a_load(ready=400))
    scene.workers.pods = [
        replace(pod, ready_at=None, is_failing=True) for pod in scene.workers.pods
    ]

    await scene.step(times=3)

    assert scene.workers.written == []
    assert scene.scaler.state.limited.reason == "WorkersFailing"
    assert scene.reasons == ["WorkersFailing!"]


async def test_the_start_of_a_pod_is_measured() -> None:
    scene = ScalingScene(load=a_load(ready=400))
    scene.workers.boot_seconds = 6.0
    before = scene.scaler.pod_start_seconds

    await scene.step(times=8)

    assert (before, scene.scaler.pod_start_seconds) == (8.0, 6.0)


async def test_the_system_clock_stops_waiting_when_the_door_rings() -> None:
    door = asyncio.Event()
    door.set()

    async with asyncio.timeout(1.0):
        await SystemClock().wait(door, 60.0)


async def test_the_system_clock_stops_waiting_when_time_is_up() -> None:
    await SystemClock().wait(asyncio.Event(), 0.001)

    assert SystemClock().utc_now().tzinfo is not None


async def test_three_hundred_short_tasks_come_and_go_and_leave_zero_workers() -> None:
    def load(now: float) -> Load:
        submitted = 300 if now >= 1 else 0
        finished = 40 * max(0, int(now) - 5)
        return a_load(ready=max(0, submitted - finished), arrivals=submitted)

    scene = ScalingScene(until_seconds=600, idle_after_seconds=60.0)
    scene.source.script = load

    await scene.run()

    numbers = [replicas for _, replicas in scene.workers.written]
    assert scene.workers.written[0] == (1.0, 10)
    assert numbers[-1] == 0
    assert numbers == sorted(numbers, reverse=True)


async def test_tasks_for_later_leave_a_warm_pool_alone_until_they_are_due() -> None:
    def load(now: float) -> Load:
        if now < 900:
            return a_load(scheduled=100 if now >= 10 else 0, arrivals=100 if now >= 10 else 0)
        return a_load(ready=100, arrivals=100)

    scene = ScalingScene(replicas=1, min_replicas=1, until_seconds=910)
    scene.source.script = load

    await scene.run()

    assert scene.workers.written == [(900.0, 10)]


@pytest.mark.parametrize(
    ("count", "rounded"), [(0, 0), (7, 7), (41, 41), (149, 150), (12_345, 12_000)]
)
def test_waiting_tasks_are_shown_in_two_digits(count: int, rounded: int) -> None:
    assert to_rounded(count) == rounded


async def test_waiting_tasks_are_shown_afresh_every_ten_seconds() -> None:
    scene = ScalingScene(replicas=10)
    seen = []
    for ready in range(10):
        scene.source.load = a_load(ready=ready)
        await scene.step()
        seen.append(scene.scaler.state.queued_tasks)

    assert seen == [0, 0, 0, 0, 0, 5, 5, 5, 5, 5]
