"""The wired process on a cluster in memory: doors, rounds, companions, liveness."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping

import pytest
from prometheus_client import generate_latest

from operator_testing.fake_cluster import FakeCluster
from operator_testing.no_pool import NoPool
from operator_testing.world import NAME, NAMESPACE, a_resource
from orchestrator_operator import app, rounds
from orchestrator_operator.app import SILENCE_SECONDS, Operator
from orchestrator_operator.applying import ClusterUnavailableError
from orchestrator_operator.kinds import Kind, Manifest
from orchestrator_operator.looping import ResourceKey
from orchestrator_operator.settings import OperatorSettings

KEY = ResourceKey(NAMESPACE, NAME)


class Pool(NoPool):
    def __init__(self) -> None:
        super().__init__()
        self.is_closed = False

    async def close(self) -> None:
        self.is_closed = True


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster()


@pytest.fixture
def pools() -> list[Pool]:
    return []


@pytest.fixture
async def operator(cluster: FakeCluster, pools: list[Pool]) -> AsyncIterator[Operator]:
    def make_pool(_: object) -> Pool:
        pools.append(Pool())
        return pools[-1]

    wired = Operator(cluster, OperatorSettings(), make_pool=make_pool)
    yield wired
    await wired.close()


async def eventually(truth: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not truth():  # noqa: ASYNC110 - yields to the loop; there is no event to wait for
            await asyncio.sleep(0.01)


async def test_a_round_finds_a_resource_that_no_event_told_of(
    cluster: FakeCluster, operator: Operator
) -> None:
    cluster.put(a_resource())

    going = asyncio.create_task(operator.rounds.run())
    await eventually(lambda: ("StatefulSet", NAMESPACE, f"{NAME}-postgres") in cluster.objects)
    going.cancel()


async def test_a_gone_resource_takes_its_autoscaler_along(
    cluster: FakeCluster, operator: Operator, pools: list[Pool]
) -> None:
    cluster.put(a_resource())
    operator.loops.ring(KEY)
    await eventually(lambda: pools)

    cluster.remove(("Orchestrator", NAMESPACE, NAME))
    operator.loops.ring(KEY)

    await eventually(lambda: operator.loops.keys == ())
    await eventually(lambda: pools[0].is_closed)


async def test_a_round_that_fails_is_not_the_last(
    cluster: FakeCluster, operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rounds, "RESYNC_SECONDS", 0.01)
    listed, rounds_failed = cluster.list, 0

    async def failing(
        kind: Kind, namespace: str | None, labels: Mapping[str, str] | None = None
    ) -> tuple[Manifest, ...]:
        nonlocal rounds_failed
        if kind.kind == "Orchestrator" and rounds_failed < 2:
            rounds_failed += 1
            raise ClusterUnavailableError("away")
        return await listed(kind, namespace, labels)

    monkeypatch.setattr(cluster, "list", failing)
    cluster.put(a_resource())

    going = asyncio.create_task(operator.rounds.run())
    await eventually(lambda: operator.loops.keys)
    going.cancel()

    assert rounds_failed == 2


async def test_it_waits_for_the_resource_definition(
    cluster: FakeCluster, operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rounds, "CRD_WAIT_SECONDS", 0)
    answers = [ClusterUnavailableError("no such kind"), ClusterUnavailableError("no such kind")]

    async def not_yet(*_: object) -> tuple[Manifest, ...]:
        if answers:
            raise answers.pop()
        return ()

    monkeypatch.setattr(cluster, "list", not_yet)

    await operator.rounds.wait_until_served()

    assert answers == []


async def test_a_process_that_moves_has_nothing_to_complain_about(operator: Operator) -> None:
    assert operator.complaint() == ""


async def test_silence_is_a_complaint(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "SILENCE_SECONDS", -1.0)

    assert "has not moved" in operator.complaint()
    assert SILENCE_SECONDS > 120


async def test_passes_are_counted_and_what_does_not_scale_shows_nothing(
    cluster: FakeCluster, operator: Operator
) -> None:
    def lines() -> list[str]:
        return generate_latest(operator.metrics.registry).decode().splitlines()

    cluster.put(a_resource())
    operator.loops.ring(KEY)

    await eventually(lambda: any('change="created",kind="StatefulSet"' in line for line in lines()))
    assert 'orchestrator_operator_passes_total{verdict="failed"} 0.0' in lines()
    assert "orchestrator_operator_scaled_resources 0.0" in lines()
