"""The loop where somebody else says how many workers run."""

from dataclasses import replace

from operator_testing.fake_scaling import ScalingScene, a_load
from orchestrator_core.errors import StoreUnavailableError
from orchestrator_operator.scaling import ScalingMode

AWAY = StoreUnavailableError("postgres", "read the load")


async def test_fixed_sets_the_number_of_the_resource_and_the_law_runs_dry() -> None:
    scene = ScalingScene(load=a_load(ready=400), mode=ScalingMode.FIXED, fixed_replicas=2)

    await scene.step()

    state = scene.scaler.state
    assert scene.workers.replicas == 2
    assert (state.desired_replicas, state.law_replicas) == (2, 10)
    assert (state.active.reason, state.is_faulty) == ("Fixed", False)


async def test_fixed_needs_no_load() -> None:
    scene = ScalingScene(mode=ScalingMode.FIXED, fixed_replicas=2)
    scene.source.error = AWAY

    await scene.step(times=5)

    assert scene.workers.replicas == 2
    assert not scene.scaler.state.is_faulty


async def test_fixed_takes_the_least_busy_when_all_are_busy() -> None:
    scene = ScalingScene(
        replicas=4, load=a_load(in_flight=8), mode=ScalingMode.FIXED, fixed_replicas=2
    )
    scene.source.busy_slots = {"worker-1": 1, "worker-2": 3, "worker-3": 0, "worker-4": 4}

    await scene.step()

    assert sorted(scene.workers.removed) == ["worker-1", "worker-3"]


async def test_external_follows_what_came_through_scale() -> None:
    scene = ScalingScene(
        replicas=1, load=a_load(ready=400), mode=ScalingMode.EXTERNAL, fixed_replicas=1
    )
    await scene.step()
    scene.scaler.retarget(replace(scene.target, fixed_replicas=5))

    await scene.step()

    state = scene.scaler.state
    assert scene.workers.written == [(2.0, 5)]
    assert scene.workers.events == [("ScaledOut", "1→5: spec.worker.replicas")]
    assert (state.desired_replicas, state.law_replicas) == (5, 10)
    assert (state.active.reason, state.is_faulty) == ("External", False)


async def test_the_law_takes_over_from_the_number_that_it_finds() -> None:
    scene = ScalingScene(
        replicas=5, load=a_load(in_flight=9), mode=ScalingMode.EXTERNAL, fixed_replicas=5
    )
    await scene.step()
    scene.scaler.retarget(replace(scene.target, mode=ScalingMode.AUTOMATIC))

    await scene.step()

    assert scene.workers.written == []


async def test_who_drained_for_the_law_works_on_where_the_number_is_fixed() -> None:
    scene = ScalingScene(
        replicas=2, load=a_load(in_flight=4), mode=ScalingMode.FIXED, fixed_replicas=2
    )
    scene.source.cordoned = {"worker-2"}

    await scene.step()

    assert scene.source.cordoned == set()
