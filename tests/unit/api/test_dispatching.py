"""When the doorbell rings, and when it does not."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator_api.dispatching import PAGE_RINGS, PUBLISH, FirstRings, Sweep
from orchestrator_api.metrics import Metrics, RingMetrics
from orchestrator_api.sparing import GRACE_SECONDS, Sparing
from orchestrator_core.envelope import TaskEnvelope
from orchestrator_core.errors import StoreUnavailableError
from orchestrator_core.tasks import TaskId
from orchestrator_core.testing import A_TRACE
from recorded_spans import recording_spans
from spared_leases import AClock, sparing_nothing

RING_AGAIN_SECONDS = 30.0


class ABell:
    """Remembers what was rung; answers when told to."""

    def __init__(self) -> None:
        self.rung: list[int] = []
        self.calls = 0
        self.called = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.is_away = False
        self.depth = 0

    async def ring(self, envelopes: Sequence[TaskEnvelope]) -> None:
        self.calls += 1
        self.called.set()
        await self.may_answer.wait()
        if self.is_away:
            raise StoreUnavailableError("rabbitmq", "publish")
        self.rung += [envelope.task_id for envelope in envelopes]

    async def depth_messages(self) -> int:
        if self.is_away:
            raise StoreUnavailableError("rabbitmq", "read the depth")
        return self.depth


@asynccontextmanager
async def ringing(bell: ABell) -> AsyncIterator[FirstRings]:
    rings = FirstRings(bell, Metrics().rings)
    running = asyncio.create_task(rings.run())
    yield rings
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_fresh_task_rings_at_once() -> None:
    bell = ABell()
    async with ringing(bell) as rings:
        rings.offer([TaskId(1)], trace_context=A_TRACE)
        await rings.drain()

    assert bell.rung == [1]


async def test_offering_never_waits_for_rabbitmq() -> None:
    bell = ABell()
    bell.may_answer.clear()
    async with ringing(bell) as rings:
        rings.offer([TaskId(1)], trace_context=A_TRACE)
        await bell.called.wait()

        rings.offer([TaskId(2), TaskId(3)], trace_context=A_TRACE)
        bell.may_answer.set()
        await rings.drain()

    assert bell.rung == [1, 2, 3]
    assert bell.calls == 2


async def test_while_rabbitmq_is_away_rings_are_forgotten_with_one_attempt_a_second() -> None:
    bell = ABell()
    bell.is_away = True
    async with ringing(bell) as rings:
        for n in range(100):
            rings.offer([TaskId(n)], trace_context=A_TRACE)
            await rings.drain()

    assert bell.calls == 1


async def test_a_flood_beyond_the_queue_is_forgotten_and_disturbs_nobody() -> None:
    bell = ABell()
    bell.may_answer.clear()
    async with ringing(bell) as rings:
        rings.offer((TaskId(n) for n in range(30_000)), trace_context=A_TRACE)
        bell.may_answer.set()
        await rings.drain()

    assert len(bell.rung) == 20_000


class SomeRings:
    """A ring store in memory: what is due, and what was asked."""

    def __init__(self, *, first: int = 0, repeats: int = 0, waiting: int = 0) -> None:
        self.first = [TaskId(n) for n in range(first)]
        self.repeats = [TaskId(1_000_000 + n) for n in range(repeats)]
        self.overtaken = [TaskId(n) for n in range(2_000_000, 2_000_200)]
        self.waiting = waiting
        self.exhausted = [TaskId(3_000_000)]
        self.asked: list[str] = []
        self.is_away = False
        self.knows_no_traces = False

    async def fail_exhausted(self, *, limit: int) -> list[TaskId]:
        return self._take("fail", self.exhausted, limit)

    async def take_first_rings(
        self, *, limit: int, ring_after_seconds: float, spare_leases: bool
    ) -> list[TaskId]:
        assert ring_after_seconds == RING_AGAIN_SECONDS
        return self._take("first, spared" if spare_leases else "first", self.first, limit)

    async def has_due_repeats(self) -> bool:
        self.asked.append("look")
        self._answer()
        return bool(self.repeats)

    async def count_waiting(self, *, limit: int) -> int:
        self.asked.append("count")
        return min(self.waiting, limit)

    async def take_repeats(self, *, limit: int, ring_after_seconds: float) -> list[TaskId]:
        assert ring_after_seconds == RING_AGAIN_SECONDS
        return self._take("repeats", self.repeats, limit)

    async def take_overtaken(
        self, *, limit: int, ring_after_seconds: float, by_seconds: float, silent_seconds: float
    ) -> list[TaskId]:
        assert (ring_after_seconds, by_seconds, silent_seconds) == (RING_AGAIN_SECONDS, 60, 300)
        return self._take("overtaken", self.overtaken, limit)

    async def find_trace_contexts(self, task_ids: Sequence[TaskId]) -> list[str]:
        self.asked.append("traces")
        if self.knows_no_traces:
            raise StoreUnavailableError("postgres", "find trace contexts")
        sampled = f"{A_TRACE[:-2]}01"
        return [
            sampled.replace("b7", f"{task_id:02x}") if task_id % 2 else A_TRACE
            for task_id in task_ids
        ]

    def _take(self, what: str, source: list[TaskId], limit: int) -> list[TaskId]:
        self.asked.append(what)
        self._answer()
        taken = source[:limit]
        del source[:limit]
        return taken

    def _answer(self) -> None:
        if self.is_away:
            raise StoreUnavailableError("postgres", "answer")


def a_sweep(
    rings: SomeRings,
    bell: ABell,
    *,
    counting: RingMetrics | None = None,
    sparing: Sparing | None = None,
    announce: Callable[[], None] = lambda: None,
) -> Sweep:
    return Sweep(
        rings,
        bell,
        counting or Metrics().rings,
        sparing=sparing or sparing_nothing(),
        chance=Random(1),
        ring_again_seconds=RING_AGAIN_SECONDS,
        announce=announce,
    )


async def sweep(rings: SomeRings, *, depth_messages: int = 0) -> list[int]:
    """Sweep once over a queue with so many messages; return for whom it rang."""
    bell = ABell()
    bell.depth = depth_messages
    await a_sweep(rings, bell).sweep()
    return bell.rung


async def test_what_became_due_rings_however_deep_the_queue() -> None:
    assert await sweep(SomeRings(first=3), depth_messages=1_000) == [0, 1, 2]


async def test_nothing_rings_twice_while_there_are_as_many_messages_as_tasks() -> None:
    rings = SomeRings(repeats=3, waiting=3)

    rung = await sweep(rings, depth_messages=3)

    assert rung == []
    assert rings.asked == ["fail", "first", "look", "count"]


async def test_when_nothing_needs_repeating_nothing_is_counted() -> None:
    rings = SomeRings(waiting=500)

    await sweep(rings)

    assert rings.asked == ["fail", "first", "look"]


async def test_after_a_purge_everything_that_waits_rings_again() -> None:
    count = 2 * PAGE_RINGS + 7

    assert len(await sweep(SomeRings(repeats=count, waiting=count))) == count


async def test_only_as_many_ring_again_as_messages_are_missing() -> None:
    rings = SomeRings(repeats=100, waiting=100)

    assert await sweep(rings, depth_messages=98) == [1_000_000, 1_000_001]


async def test_first_rings_are_messages_that_need_no_repetition() -> None:
    rings = SomeRings(first=2, repeats=10, waiting=12)

    assert await sweep(rings, depth_messages=9) == [0, 1, 1_000_000]


async def test_repetitions_of_one_sweep_are_bounded() -> None:
    rings = SomeRings(repeats=30_000, waiting=30_000)

    assert len(await sweep(rings)) == 20 * PAGE_RINGS


@pytest.mark.parametrize(("waiting", "rung"), [(19_999, 0), (500_000, 100)])
async def test_in_a_deep_backlog_only_what_was_overtaken_rings_a_hundred_a_sweep(
    waiting: int, rung: int
) -> None:
    rings = SomeRings(repeats=10, waiting=waiting)

    assert len(await sweep(rings, depth_messages=500_000)) == rung


async def test_what_rings_is_counted_by_its_reason_and_a_sweep_by_its_end() -> None:
    metrics, bell = Metrics(), ABell()
    store = SomeRings(first=3, repeats=4, waiting=4)
    sweep = a_sweep(store, bell, counting=metrics.rings)

    await sweep.sweep()
    bell.is_away = True
    with pytest.raises(StoreUnavailableError):
        await sweep.sweep()

    def value(name: str, **labels: str) -> float | None:
        return metrics.registry.get_sample_value(f"orchestrator_api_{name}_total", labels)

    assert [value("rings", reason=each) for each in ("due", "missing", "fresh")] == [3, 1, 0]
    assert [value("sweeps", outcome=each) for each in ("done", "store_away", "failed")] == [1, 1, 0]
    assert value("tasks_lost") == 1


@pytest.mark.parametrize(("is_away", "spans"), [(False, 2), (True, 0)])
async def test_who_is_traced_sees_that_it_rang_again_and_rings_in_any_case(
    *, is_away: bool, spans: int
) -> None:
    store = SomeRings(first=4)
    store.knows_no_traces = is_away
    async with recording_spans() as recorded:
        rung = await sweep(store)

    assert rung == [0, 1, 2, 3]
    assert store.asked[:3] == ["fail", "first", "traces"]
    assert [each.name for each in recorded.spans] == [PUBLISH] * spans


async def test_fresh_tasks_that_did_not_ring_are_counted_apart() -> None:
    metrics, bell = Metrics(), ABell()
    rings = FirstRings(bell, metrics.rings)
    running = asyncio.create_task(rings.run())

    rings.offer([TaskId(1)], trace_context=A_TRACE)
    await rings.drain()
    bell.is_away = True
    rings.offer([TaskId(2), TaskId(3)], trace_context=A_TRACE)
    await rings.drain()
    running.cancel()

    fresh = {"reason": "fresh"}
    assert metrics.registry.get_sample_value("orchestrator_api_rings_total", fresh) == 1
    assert metrics.registry.get_sample_value("orchestrator_api_fresh_rings_left_total") == 2


async def test_without_rabbitmq_nothing_is_taken_and_what_is_lost_ends_all_the_same() -> None:
    rings, bell, announced = SomeRings(first=3, repeats=3, waiting=3), ABell(), []
    bell.is_away = True
    sweep = a_sweep(rings, bell, announce=lambda: announced.append("ended"))

    with pytest.raises(StoreUnavailableError):
        await sweep.sweep()

    assert rings.asked == ["fail"]
    assert announced == ["ended"]


async def be_away_for_a_lease(sweep: Sweep, rings: SomeRings, clock: AClock) -> None:
    """Let each sweep of half a minute find no Postgres, and then have it back."""
    rings.is_away = True
    for _ in range(30):
        with pytest.raises(StoreUnavailableError):
            await sweep.sweep()
        clock.now += 1
    rings.is_away = False
    rings.asked.clear()


async def test_after_an_outage_of_postgres_what_is_due_rings_and_no_lease_ends_at_first() -> None:
    rings, bell, clock = SomeRings(first=2), ABell(), AClock()
    sweep = a_sweep(rings, bell, sparing=sparing_nothing(clock))
    await be_away_for_a_lease(sweep, rings, clock)

    await sweep.sweep()
    clock.now += GRACE_SECONDS
    await sweep.sweep()

    assert bell.rung == [0, 1]
    assert rings.asked == ["look", "first, spared", "look", "fail", "first", "look"]


async def test_the_end_of_an_outage_is_seen_without_rabbitmq_as_well() -> None:
    rings, bell, clock = SomeRings(), ABell(), AClock()
    sweep = a_sweep(rings, bell, sparing=sparing_nothing(clock))
    bell.is_away = True
    await be_away_for_a_lease(sweep, rings, clock)

    for _ in range(2):
        with pytest.raises(StoreUnavailableError):
            await sweep.sweep()
        clock.now += GRACE_SECONDS

    assert rings.asked == ["look", "fail"]


async def test_an_outage_of_rabbitmq_spares_no_lease() -> None:
    rings, bell, clock = SomeRings(), ABell(), AClock()
    sweep = a_sweep(rings, bell, sparing=sparing_nothing(clock))
    bell.is_away = True

    for _ in range(30):
        with pytest.raises(StoreUnavailableError):
            await sweep.sweep()
        clock.now += 1

    assert rings.asked == ["fail"] * 30


@given(st.integers(0, 50), st.integers(0, 50), st.integers(0, 200), st.integers(0, 200))
def test_rings_are_bounded_by_need(first: int, repeats: int, others: int, depth: int) -> None:
    rings = SomeRings(first=first, repeats=repeats, waiting=first + repeats + others)

    rung = asyncio.run(sweep(rings, depth_messages=depth))

    missing = max(0, first + repeats + others - depth - first)
    assert len(rung) == len(set(rung)) == first + min(repeats, missing)
