"""What the loop promises whatever the pods and the tasks do."""

import asyncio
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from operator_testing.fake_scaling import ScalingScene, a_load

phases = st.lists(
    st.tuples(
        st.lists(st.integers(min_value=0, max_value=4), min_size=12, max_size=12),
        st.integers(min_value=0, max_value=40),
        st.integers(min_value=0, max_value=11),
        st.sampled_from([2, 10, 25, 130]),
    ),
    min_size=5,
    max_size=40,
)
"""Busy slots of each pod, tasks ready, a pod that is not ready, seconds until the next look."""


@given(phases)
def test_no_working_pod_is_ever_taken(
    phases: list[tuple[list[int], int, int, int]],
) -> None:
    asyncio.run(_live_through(phases))


async def _live_through(phases: list[tuple[list[int], int, int, int]]) -> None:
    scene = ScalingScene(replicas=6, max_replicas=12, idle_after_seconds=20.0)
    for slots, waiting, unready, seconds in phases:
        pods = scene.workers.pods
        busy = {pod.name: slots[i] for i, pod in enumerate(pods) if pod.is_ready}
        scene.source.busy_slots = busy
        scene.source.load = a_load(ready=waiting, in_flight=sum(busy.values()))
        scene.workers.pods = [
            replace(pod, ready_at=None) if i == unready else pod for i, pod in enumerate(pods)
        ]
        removed_before = len(scene.workers.removed)
        rested = set(scene.source.cordoned)
        ready = {pod.name for pod in scene.workers.pods if pod.is_ready}

        await scene.scaler.step()

        taken = scene.workers.removed[removed_before:]
        assert [name for name in taken if busy.get(name, 0) > 0] == []
        # Idle is not enough: until it rests, a worker may claim between our look and its end.
        assert not busy or [name for name in taken if name in ready - rested] == []
        assert 0 <= scene.workers.replicas <= 12
        scene.clock.seconds += seconds
