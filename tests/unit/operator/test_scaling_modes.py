"""The loop where somebody else says how many workers run."""

from dataclasses import replace

from orchestrator_core.errors import StoreUnavailableError
from orchestrator_operator.scaling import ScalingMode
from orchestrator_operator.testing.fake_scaling import ScalingScene, a_load

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


async def test_external_writes_nothing_and_tells_what_the_law_would_have() -> None:
    scene = ScalingScene(replicas=1, load=a_load(ready=400), mode=ScalingMode.EXTERNAL)

    await scene.step(times=20)

    assert scene.workers.written == []
    assert scene.workers.events == []
    assert scene.scaler.state.desired_replicas == 10


async def test_a_number_taken_over_from_external_is_not_restored() -> None:
    scene = ScalingScene(replicas=1, load=a_load(in_flight=9), mode=ScalingMode.EXTERNAL)
    await scene.step()
    scene.workers.replicas = 5
    scene.workers.converge()
    await scene.step()
    scene.scaler.retarget(replace(scene.target, mode=ScalingMode.AUTOMATIC))

    await scene.step()

    assert scene.workers.replicas == 5
