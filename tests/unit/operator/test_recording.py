"""The recorder tells what is new, once, and never troubles anybody when it can't."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from operator_testing.fake_scaling import FakeClock, ScalingScene, a_load
from orchestrator_core.errors import RowRefusedError, StoreUnavailableError
from orchestrator_core.pools import PodEnd, PoolReport
from orchestrator_operator.autoscaling import ScalingMode, ScalingTarget
from orchestrator_operator.recording import (
    MAX_PENDING,
    REFRESH_SECONDS,
    RETRY_SECONDS,
    Recorder,
    to_report,
)

REPORT = PoolReport(
    mode="Automatic",
    min_replicas=0,
    max_replicas=10,
    desired_replicas=2,
    slots_per_pod=4,
    pod_start_seconds=8.0,
    limited_message=None,
    held_message=None,
)
OLD_SCHEMA = StoreUnavailableError("postgres", "tell of the pool: no table pool_state")


@dataclass
class FakeSink:
    """Keeps what it is told, or raises what the test set."""

    told: list[PoolReport] = field(default_factory=list)
    ends: list[PodEnd] = field(default_factory=list)
    error: Exception | None = None
    calls: int = 0

    async def tell(self, report: PoolReport) -> None:
        self.calls += 1
        if isinstance(self.error, StoreUnavailableError):
            raise self.error
        self.told.append(report)

    async def record_ends(self, ends: Sequence[PodEnd]) -> None:
        self.calls += 1
        if self.error is not None:
            raise self.error
        self.ends += ends


class Scene:
    """A recorder with everything around it in memory."""

    def __init__(self) -> None:
        self.clock, self.sink = FakeClock(), FakeSink()
        self.report: PoolReport | None = REPORT
        self.recorder = Recorder(self.sink, lambda: self.report, clock=self.clock)

    async def step(self, *, after_seconds: float = 0.0) -> None:
        self.clock.seconds += after_seconds
        await self.recorder.step()

    @property
    def reasons(self) -> list[tuple[str, str]]:
        return [(end.pod_uid, end.reason) for end in self.sink.ends]


@pytest.fixture
def scene() -> Scene:
    return Scene()


def a_pod(uid: str = "1", *, killed_at: str = "", **metadata: Any) -> dict[str, Any]:
    ended = {
        "startedAt": "2026-01-01T00:00:00Z",
        "finishedAt": killed_at,
        "exitCode": 137,
        "reason": "OOMKilled",
    }
    state = {"lastState": {"terminated": ended}} if killed_at else {}
    return {
        "metadata": {
            "name": f"worker-{uid}",
            "uid": uid,
            "creationTimestamp": "2026-01-01T00:00:00Z",
            **metadata,
        },
        "status": {"phase": "Running", "containerStatuses": [{"name": "worker", **state}]},
    }


async def test_a_report_is_told_when_it_changes_and_each_minute(scene: Scene) -> None:
    for _ in range(10):
        await scene.step(after_seconds=2)
    at_rest = len(scene.sink.told)
    scene.report = replace(REPORT, desired_replicas=3)
    await scene.step(after_seconds=2)
    await scene.step(after_seconds=REFRESH_SECONDS)

    assert at_rest == 1
    assert [each.desired_replicas for each in scene.sink.told] == [2, 3, 3]


async def test_before_anything_is_decided_nothing_is_told(scene: Scene) -> None:
    scene.report = None

    await scene.step()

    assert scene.sink.calls == 0


async def test_an_end_is_recorded_once_however_often_it_is_seen(scene: Scene) -> None:
    for _ in range(3):
        scene.recorder.show([a_pod(killed_at="2026-01-01T00:01:00Z")])
        await scene.step(after_seconds=2)

    assert scene.reasons == [("1", "OOMKilled")]


async def test_what_was_seen_between_two_steps_is_not_lost(scene: Scene) -> None:
    scene.recorder.show([a_pod(killed_at="2026-01-01T00:01:00Z")])
    scene.recorder.show([])

    await scene.step()

    assert scene.reasons == [("1", "OOMKilled"), ("1", "Deleted")]


async def test_a_pod_that_is_missing_is_recorded_unless_it_was_seen_to_go(scene: Scene) -> None:
    going = a_pod("2", deletionTimestamp="2026-01-01T00:01:00Z")
    scene.recorder.show([a_pod("1"), going, a_pod("3")])
    await scene.step()
    scene.recorder.show([a_pod("3")])
    await scene.step()
    scene.recorder.show([a_pod("3")])
    await scene.step()

    assert scene.reasons == [("2", "Deleted"), ("1", "Deleted")]
    assert [end.message for end in scene.sink.ends] == [
        "the pod was asked to end",
        "the pod is gone",
    ]


async def test_a_schema_of_an_older_version_is_logged_once_and_left_alone_for_a_while(
    scene: Scene,
) -> None:
    scene.sink.error = OLD_SCHEMA
    with capture_logs() as logs:
        for _ in range(int(3 * RETRY_SECONDS)):
            await scene.step(after_seconds=1)

    assert [each["event"] for each in logs] == ["pool_not_told"]
    assert scene.sink.calls == 3


async def test_what_could_not_be_kept_is_kept_later(scene: Scene) -> None:
    scene.sink.error = OLD_SCHEMA
    scene.recorder.show([a_pod(killed_at="2026-01-01T00:01:00Z")])
    await scene.step()
    scene.recorder.show([])
    scene.sink.error = None
    await scene.step(after_seconds=RETRY_SECONDS)

    assert scene.reasons == [("1", "OOMKilled"), ("1", "Deleted")]
    assert scene.sink.told == [REPORT]


async def test_ends_that_are_refused_stand_in_nobodys_way(scene: Scene) -> None:
    scene.sink.error = RowRefusedError("no")
    scene.recorder.show([a_pod("1", killed_at="2026-01-01T00:01:00Z")])
    await scene.step()
    scene.sink.error = None
    scene.recorder.show([a_pod("1"), a_pod("2", killed_at="2026-01-01T00:01:00Z")])
    await scene.step()

    assert scene.reasons == [("2", "OOMKilled")]


async def test_what_waits_to_be_kept_is_bounded(scene: Scene) -> None:
    scene.sink.error = OLD_SCHEMA
    pods = [a_pod(str(n), killed_at="2026-01-01T00:01:00Z") for n in range(MAX_PENDING + 5)]
    scene.recorder.show(pods)
    await scene.step()
    scene.sink.error = None
    await scene.step(after_seconds=RETRY_SECONDS)

    assert len(scene.sink.ends) == MAX_PENDING
    assert scene.reasons[-1] == (str(MAX_PENDING + 4), "OOMKilled")


async def test_it_runs_until_it_is_cancelled() -> None:
    clock, sink = FakeClock(until_seconds=5), FakeSink()
    running = asyncio.create_task(Recorder(sink, lambda: REPORT, clock=clock).run())

    await clock.finished.wait()
    running.cancel()
    await asyncio.wait([running])

    assert sink.told == [REPORT]
    assert running.cancelled()


async def test_the_report_is_what_the_law_decided() -> None:
    scene = ScalingScene(replicas=3, load=a_load(ready=10_000), max_replicas=5)
    before = to_report(scene.scaler.state, scene.target, pod_start_seconds=8.0)

    await scene.step()

    report = to_report(scene.scaler.state, scene.target, pod_start_seconds=8.0)
    assert before is None
    assert report is not None
    assert (report.mode, report.max_replicas, report.desired_replicas) == ("Automatic", 5, 5)
    assert report.limited_message == scene.scaler.state.limited.message
    assert report.held_message is None


async def test_a_number_that_is_held_is_told_with_its_reason() -> None:
    scene = ScalingScene(replicas=3)
    scene.source.error = StoreUnavailableError("postgres", "read the load")

    await scene.step()

    report = to_report(scene.scaler.state, scene.target, pod_start_seconds=8.0)
    assert report is not None
    assert report.held_message == scene.scaler.state.active.message


@pytest.mark.parametrize("mode", [ScalingMode.FIXED, ScalingMode.EXTERNAL])
async def test_where_somebody_else_decides_the_cap_is_what_they_asked_for(
    mode: ScalingMode,
) -> None:
    scene = ScalingScene(replicas=3, mode=mode, fixed_replicas=3)

    await scene.step()

    report = to_report(scene.scaler.state, scene.target, pod_start_seconds=8.0)
    assert report is not None
    assert (report.mode, report.min_replicas, report.max_replicas) == (mode.value, 3, 3)
    assert report.desired_replicas == 3
    assert ScalingTarget().fixed_replicas != 3
