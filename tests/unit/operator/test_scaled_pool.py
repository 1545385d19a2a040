"""How a resource's autoscaler is started, steered, and followed by another."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
from structlog.testing import capture_logs

from operator_testing.contexts import CREDENTIALS, a_context
from operator_testing.fake_cluster import FakeCluster
from operator_testing.world import a_resource
from orchestrator_operator import scaled_pool
from orchestrator_operator.autoscaling import ScalingTarget
from orchestrator_operator.bindings import bind_managed
from orchestrator_operator.manifests.context import Context
from orchestrator_operator.scaled_pool import ScaledPool
from orchestrator_operator.scaling import NOTHING_SEEN
from orchestrator_operator.status import ScalingView

RESOURCE = {**a_resource(), "metadata": {"name": "demo", "namespace": "team", "uid": "1"}}
GOODBYE_SECONDS = 0.02


@dataclass
class Stage:
    """What the scalers did."""

    at_work: int = 0
    most_at_work: int = 0
    started: int = 0
    caps: list[int] = field(default_factory=list)
    """Of each target that one was made with or given."""


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    """Scalers that only work, and take a while to stop; nobody tells Postgres of them."""
    stage = Stage()

    class SlowToStop:
        def __init__(self, *, target: ScalingTarget, **_: object) -> None:
            self.state = NOTHING_SEEN
            stage.caps.append(target.max_replicas)

        def retarget(self, target: ScalingTarget) -> None:
            stage.caps.append(target.max_replicas)

        async def run(self) -> None:
            stage.started += 1
            stage.at_work += 1
            stage.most_at_work = max(stage.most_at_work, stage.at_work)
            try:
                await asyncio.Event().wait()
            finally:
                try:
                    await asyncio.sleep(GOODBYE_SECONDS)
                finally:
                    stage.at_work -= 1

    class Mute:
        def __init__(self, *_: object) -> None:
            self.show = print

        async def run(self) -> None:
            await asyncio.Event().wait()

    monkeypatch.setattr(scaled_pool, "Scaler", SlowToStop)
    monkeypatch.setattr(scaled_pool, "Recorder", Mute)
    return stage


def capped(replicas: int, *, database: str = "first", authority: str = "") -> Context:
    """Return what asks for at most so many workers; another database has another password."""
    postgres = bind_managed("demo", "postgres", database)
    postgres = replace(postgres, is_tls=bool(authority), authority=authority)
    stores = {**CREDENTIALS.stores, "postgres": postgres}
    return a_context(
        {"worker": {"scaling": {"max": replicas}}}, credentials=replace(CREDENTIALS, stores=stores)
    )


async def until(truth: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not truth():  # noqa: ASYNC110 - what the scalers say is no event
            await asyncio.sleep(0.001)


async def until_started(stage: Stage, count: int) -> None:
    await until(lambda: stage.started >= count)


async def test_a_new_spec_steers_the_one_that_runs(stage: Stage) -> None:
    pool = ScaledPool(FakeCluster())
    pool.steer(RESOURCE, capped(3))
    await until_started(stage, 1)

    pool.steer(RESOURCE, capped(5))
    await pool.close()

    assert (stage.caps, stage.started, stage.at_work) == ([3, 5], 1, 0)


async def test_one_for_a_new_password_begins_when_the_former_has_ended(stage: Stage) -> None:
    pool = ScaledPool(FakeCluster())
    pool.steer(RESOURCE, capped(3))
    await until_started(stage, 1)

    pool.steer(RESOURCE, capped(5, database="second"))
    await until_started(stage, 2)

    assert stage.most_at_work == 1
    await pool.close()
    assert (stage.caps, stage.at_work) == ([3, 5], 0)


async def test_steered_while_it_waits_for_the_former_one_begins_with_the_latest(
    stage: Stage,
) -> None:
    pool = ScaledPool(FakeCluster())
    pool.steer(RESOURCE, capped(3))
    await until_started(stage, 1)

    pool.steer(RESOURCE, capped(5, database="second"))
    await asyncio.sleep(0)
    pool.steer(RESOURCE, capped(7, database="second"))
    await until_started(stage, 2)
    await pool.close()

    assert (stage.caps[-1], stage.started, stage.most_at_work) == (7, 2, 1)


async def test_closed_while_one_waits_for_another_leaves_none_at_work(stage: Stage) -> None:
    pool = ScaledPool(FakeCluster())
    pool.steer(RESOURCE, capped(3))
    await until_started(stage, 1)

    pool.steer(RESOURCE, capped(5, database="second"))
    await asyncio.sleep(0)
    pool.steer(RESOURCE, capped(7, database="third"))
    await asyncio.sleep(0)
    await pool.close()

    assert (stage.caps, stage.started, stage.at_work) == ([3], 1, 0)


async def test_closed_it_says_nothing_of_what_was_and_steered_again_it_starts(
    stage: Stage,
) -> None:
    pool = ScaledPool(FakeCluster())
    pool.steer(RESOURCE, capped(3))
    await until_started(stage, 1)

    await pool.close()
    said = (pool.view(), pool.measure())
    pool.steer(RESOURCE, capped(3))
    await until_started(stage, 2)
    await pool.close()

    assert said == (ScalingView(), None)
    assert (stage.most_at_work, stage.at_work) == (1, 0)


@pytest.mark.parametrize("authority", ["no certificate", "# für alle"], ids=["none", "not ASCII"])
async def test_one_that_cannot_start_says_why_once_and_not_what_the_former_saw(
    stage: Stage, authority: str
) -> None:
    cluster = FakeCluster()
    pool = ScaledPool(cluster)
    pool.steer(RESOURCE, capped(3))
    await until_started(stage, 1)

    with capture_logs() as logs:
        for _ in range(3):
            pool.steer(RESOURCE, capped(3, authority=authority))
            await until(lambda: pool.view().is_faulty)
            await asyncio.sleep(0.01)

    view, state = pool.view(), pool.measure()
    assert (view.active.is_true, view.active.reason) == (False, "LoadUnavailable")
    assert "certificates of authorities in PEM" in view.active.message
    assert (state is not None and state.is_faulty, stage.at_work) == (True, 0)
    assert [event["reason"] for event in cluster.events] == ["LoadUnavailable"]
    assert [line["event"] for line in logs].count("scaling_not_started") == 1

    pool.steer(RESOURCE, capped(3))
    await until_started(stage, 2)
    assert not pool.view().is_faulty
    await pool.close()
