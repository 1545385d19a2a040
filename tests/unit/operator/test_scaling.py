"""The loop: what it writes, when, and what it tells."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from orchestrator_core.errors import StoreUnavailableError
from orchestrator_core.load import Load
from orchestrator_operator.scaling import (
    Scaler,
    ScalingMode,
    ScalingTarget,
    SystemClock,
)
from orchestrator_operator.testing.fake_scaling import FakeClock, FakeLoadSource, FakeWorkers

AWAY = StoreUnavailableError("postgres", "read the load")


def a_load(ready: int = 0, in_flight: int = 0, arrivals: int = 0) -> Load:
    return Load(
        ready_tasks=ready,
        in_flight_tasks=in_flight,
        oldest_ready_age_seconds=0.0,
        arrivals_total=arrivals,
        completions_total=0,
        busy_seconds_total=0.0,
    )


class Scene:
    """A scaler with everything around it in memory."""

    def __init__(
        self,
        *,
        replicas: int = 0,
        load: Load | None = None,
        until_seconds: float = float("inf"),
        **target: Any,
    ) -> None:
        self.clock = FakeClock(until_seconds=until_seconds)
        self.source = FakeLoadSource(load=load or a_load(), clock=self.clock)
        self.workers = FakeWorkers(clock=self.clock, replicas=replicas)
        self.target = replace(ScalingTarget(), **target)
        self.scaler = Scaler(
            target=self.target, source=self.source, actuator=self.workers, clock=self.clock
        )
        self.all_report(busy=0)

    def all_report(self, *, busy: int) -> None:
        self.source.busy_slots = {pod.name: busy for pod in self.workers.pods}

    async def step(self, *, times: int = 1) -> None:
        for _ in range(times):
            await self.scaler.step()
            self.clock.seconds += self.scaler.pause_seconds

    async def run(self) -> None:
        running = asyncio.create_task(self.scaler.run())
        await self.clock.finished.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    @property
    def reasons(self) -> list[str]:
        return [reason for reason, _ in self.workers.events]


async def test_the_first_task_wakes_workers_within_a_second_of_virtual_time() -> None:
    scene = Scene(until_seconds=10)
    scene.source.script = lambda now: a_load(ready=300 if now >= 5 else 0)

    await scene.run()

    assert scene.workers.written == [(5.0, 10)]


async def test_scaling_out_is_told_in_one_sentence() -> None:
    scene = Scene(replicas=3, load=a_load(ready=41))

    await scene.step()

    told = "3→6: 41 ready, 0.0/s × 5.0 s, target 10 s"  # noqa: RUF001 - for people
    assert scene.workers.events == [("ScaledOut", told)]
    assert scene.scaler.state.reason == told
    assert scene.scaler.state.desired_replicas == 6
    assert scene.scaler.state.last_scale_time is not None


async def test_nothing_is_written_or_told_while_nothing_changes() -> None:
    scene = Scene(replicas=2, load=a_load(in_flight=3))
    scene.all_report(busy=1)

    await scene.step(times=50)

    assert scene.workers.written == []
    assert scene.workers.events == []


async def test_scale_in_takes_idle_workers_youngest_first_and_no_other() -> None:
    scene = Scene(replicas=8, load=a_load(in_flight=6))
    busy = ("worker-2", "worker-7", "worker-8")
    for name in busy:
        scene.source.busy_slots[name] = 2

    await scene.step(times=400)

    assert set(scene.workers.removed[:2]) == {"worker-6", "worker-5"}
    assert [pod.name for pod in scene.workers.pods] == list(busy)


async def test_a_worker_that_has_not_reported_counts_as_busy() -> None:
    scene = Scene(replicas=4, load=a_load(in_flight=1))
    del scene.source.busy_slots["worker-4"]
    del scene.source.busy_slots["worker-3"]

    await scene.step(times=400)

    assert {"worker-3", "worker-4"} <= {pod.name for pod in scene.workers.pods}


async def test_no_worker_goes_while_an_unready_one_works() -> None:
    scene = Scene(replicas=4, load=a_load(in_flight=1))
    scene.workers.boot_seconds = 10_000.0
    scene.workers.pods[0] = replace(scene.workers.pods[0], ready_at=None)
    scene.source.busy_slots["worker-1"] = 1

    await scene.step(times=200)

    assert scene.workers.removed == []


async def test_no_worker_goes_during_a_rollout() -> None:
    scene = Scene(replicas=8, load=a_load(in_flight=1))
    scene.workers.is_rolling_out = True

    await scene.step(times=200)

    assert scene.workers.removed == []


async def test_an_idle_pool_goes_to_min_even_during_a_rollout() -> None:
    scene = Scene(replicas=8, min_replicas=1, idle_after_seconds=30.0)
    scene.workers.is_rolling_out = True

    await scene.step(times=30)

    assert scene.workers.written == [(30.0, 1)]


async def test_marks_of_a_scale_in_that_took_others_are_cleared() -> None:
    scene = Scene(replicas=2, load=a_load(in_flight=2))
    await scene.workers.set_deletion_costs({"worker-1": -1000, "worker-2": 7})

    await scene.step()

    assert {pod.name: pod.deletion_cost for pod in scene.workers.pods} == {
        "worker-1": 0,
        "worker-2": 7,  # not ours
    }


@pytest.mark.parametrize("foreign", [0, 1, 20])
async def test_what_somebody_else_writes_is_put_back(foreign: int) -> None:
    scene = Scene(replicas=3, load=a_load(in_flight=9))
    scene.all_report(busy=3)
    await scene.step()
    scene.workers.replicas = foreign
    scene.workers.converge()

    await scene.step()

    assert scene.workers.replicas == 3
    assert scene.workers.events == [
        ("ReplicasRestored", f"{foreign}→3: somebody else wrote spec.replicas")
    ]


async def test_a_load_that_cannot_be_read_holds_the_number_and_says_so_once() -> None:
    scene = Scene(replicas=3, load=a_load(in_flight=9))
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
    scene = Scene(replicas=3, load=a_load(in_flight=9))
    await scene.step()
    scene.source.error = AWAY

    await scene.step(times=2)

    assert scene.scaler.state.active.is_true
    assert scene.workers.events == []


async def test_a_load_never_read_is_news_at_once() -> None:
    scene = Scene(replicas=3)
    scene.source.error = AWAY

    await scene.step()

    assert scene.scaler.state.active.reason == "LoadUnavailable"


async def test_scaling_resumes_when_the_load_is_back() -> None:
    scene = Scene(replicas=3)
    scene.source.error = AWAY
    await scene.step(times=5)
    scene.source.error, scene.source.load = None, a_load(ready=400)

    await scene.step()

    assert scene.workers.replicas == 10
    assert scene.reasons == ["LoadUnavailable!", "ScaledOut", "ScalingResumed", "TooManyReplicas!"]


async def test_a_cluster_that_fails_never_ends_the_loop() -> None:
    scene = Scene(until_seconds=20)
    scene.workers.error = OSError("no route")

    await scene.run()

    assert scene.scaler.state.active.reason == "ClusterUnavailable"
    assert scene.scaler.state.is_faulty


async def test_a_write_that_failed_is_tried_again() -> None:
    scene = Scene(load=a_load(ready=400))
    scene.workers.write_error = OSError("connection reset")
    await scene.step()
    scene.workers.write_error = None

    await scene.step()

    assert scene.workers.replicas == 10
    assert scene.reasons[0] == "ScaledOut"


async def test_without_a_deployment_there_is_nothing_to_scale() -> None:
    scene = Scene(load=a_load(ready=5))
    scene.workers.exists = False

    await scene.step()

    assert scene.scaler.state.active.reason == "NoWorkers"
    assert not scene.scaler.state.is_faulty
    assert scene.workers.written == []


async def test_fixed_sets_the_number_of_the_resource_and_the_law_runs_dry() -> None:
    scene = Scene(load=a_load(ready=400), mode=ScalingMode.FIXED, fixed_replicas=2)

    await scene.step()

    state = scene.scaler.state
    assert scene.workers.replicas == 2
    assert (state.desired_replicas, state.law_replicas) == (2, 10)
    assert (state.active.reason, state.is_faulty) == ("Fixed", False)


async def test_fixed_needs_no_load() -> None:
    scene = Scene(mode=ScalingMode.FIXED, fixed_replicas=2)
    scene.source.error = AWAY

    await scene.step(times=5)

    assert scene.workers.replicas == 2
    assert not scene.scaler.state.is_faulty


async def test_fixed_takes_the_least_busy_when_all_are_busy() -> None:
    scene = Scene(replicas=4, load=a_load(in_flight=8), mode=ScalingMode.FIXED, fixed_replicas=2)
    scene.source.busy_slots = {"worker-1": 1, "worker-2": 3, "worker-3": 0, "worker-4": 4}

    await scene.step()

    assert sorted(scene.workers.removed) == ["worker-1", "worker-3"]


async def test_external_writes_nothing_and_tells_what_the_law_would_have() -> None:
    scene = Scene(replicas=1, load=a_load(ready=400), mode=ScalingMode.EXTERNAL)

    await scene.step(times=20)

    assert scene.workers.written == []
    assert scene.workers.events == []
    assert scene.scaler.state.desired_replicas == 10


async def test_a_number_taken_over_from_external_is_not_restored() -> None:
    scene = Scene(replicas=1, load=a_load(in_flight=9), mode=ScalingMode.EXTERNAL)
    await scene.step()
    scene.workers.replicas = 5
    scene.workers.converge()
    await scene.step()
    scene.scaler.retarget(replace(scene.target, mode=ScalingMode.AUTOMATIC))

    await scene.step()

    assert scene.workers.replicas == 5


async def test_retargeting_takes_effect_at_once() -> None:
    scene = Scene(until_seconds=0)
    running = asyncio.create_task(scene.scaler.run())
    await scene.clock.finished.wait()
    scene.clock.finished.clear()

    scene.scaler.retarget(replace(scene.target, min_replicas=4))

    await scene.clock.finished.wait()
    running.cancel()
    assert scene.workers.written == [(0.0, 4)]


async def test_the_same_target_again_wakes_nobody() -> None:
    door = asyncio.Event()
    scene = Scene()
    scene.scaler._door = door  # noqa: SLF001 - whether it rings is the promise

    scene.scaler.retarget(replace(scene.target))

    assert not door.is_set()


async def test_crash_looping_workers_limit_and_say_so() -> None:
    scene = Scene(replicas=2, load=a_load(ready=400))
    scene.workers.pods = [
        replace(pod, ready_at=None, is_failing=True) for pod in scene.workers.pods
    ]

    await scene.step(times=3)

    assert scene.workers.written == []
    assert scene.scaler.state.limited.reason == "WorkersFailing"
    assert scene.reasons == ["WorkersFailing!"]


async def test_the_start_of_a_pod_is_measured() -> None:
    scene = Scene(load=a_load(ready=400))
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

    scene = Scene(until_seconds=600, idle_after_seconds=60.0)
    scene.source.script = load

    await scene.run()

    numbers = [replicas for _, replicas in scene.workers.written]
    assert scene.workers.written[0] == (1.0, 10)
    assert numbers[-1] == 0
    assert numbers == sorted(numbers, reverse=True)
