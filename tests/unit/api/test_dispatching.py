"""When the doorbell rings, and when it does not."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator_api.dispatching import FirstRings, choose_rings
from orchestrator_core.envelope import TaskEnvelope
from orchestrator_core.errors import StoreUnavailableError
from orchestrator_core.postgres.task_store import DueRing
from orchestrator_core.tasks import TaskId


class ABell:
    """Remembers what was rung; answers when told to."""

    def __init__(self) -> None:
        self.rung: list[int] = []
        self.calls = 0
        self.called = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.is_away = False

    async def ring(self, envelopes: Sequence[TaskEnvelope]) -> None:
        self.calls += 1
        self.called.set()
        await self.may_answer.wait()
        if self.is_away:
            raise StoreUnavailableError("rabbitmq", "publish")
        self.rung += [envelope.task_id for envelope in envelopes]

    async def depth_messages(self) -> int:
        return len(self.rung)


@asynccontextmanager
async def ringing(bell: ABell) -> AsyncIterator[FirstRings]:
    rings = FirstRings(bell)
    running = asyncio.create_task(rings.run())
    yield rings
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


def due(*earlier_rings: int) -> list[DueRing]:
    """Due rings with ids from 1."""
    return [DueRing(TaskId(n), earlier) for n, earlier in enumerate(earlier_rings, start=1)]


def test_a_task_that_has_not_rung_since_it_became_due_always_rings() -> None:
    assert choose_rings(due(0, 0), ready_tasks=2, depth_messages=1_000) == [1, 2]


def test_nothing_rings_twice_while_its_message_waits_in_the_queue() -> None:
    assert choose_rings(due(1, 2, 3), ready_tasks=3, depth_messages=3) == []


def test_after_a_purge_everything_rings_again() -> None:
    assert choose_rings(due(1, 2, 3), ready_tasks=3, depth_messages=0) == [1, 2, 3]


def test_only_as_many_ring_again_as_messages_are_missing_the_longest_waiting_first() -> None:
    assert choose_rings(due(1, 1, 1), ready_tasks=10, depth_messages=8) == [1, 2]


def test_first_rings_are_not_mistaken_for_missing_messages() -> None:
    assert choose_rings(due(0, 1, 0, 1), ready_tasks=4, depth_messages=2) == [1, 3]


def test_messages_of_tasks_that_ended_meanwhile_delay_repetitions_and_no_first_ring() -> None:
    assert choose_rings(due(1, 0), ready_tasks=2, depth_messages=50) == [2]


@given(
    st.lists(st.integers(0, 5), max_size=30),
    st.integers(0, 1_000),
    st.integers(0, 1_000),
)
def test_rings_are_bounded_by_need_and_never_repeat_a_task(
    earlier_rings: list[int], others_ready: int, depth_messages: int
) -> None:
    rings = due(*earlier_rings)
    ready_tasks = len(rings) + others_ready

    chosen = choose_rings(rings, ready_tasks=ready_tasks, depth_messages=depth_messages)

    first = {ring.task_id for ring in rings if ring.earlier_rings == 0}
    assert first <= set(chosen)
    assert len(chosen) == len(set(chosen))
    assert len(chosen) <= max(len(first), ready_tasks - depth_messages)


async def test_a_fresh_task_rings_at_once() -> None:
    bell = ABell()
    async with ringing(bell) as rings:
        rings.offer([TaskId(1)])
        await rings.drain()

    assert bell.rung == [1]


async def test_offering_never_waits_for_rabbitmq() -> None:
    bell = ABell()
    bell.may_answer.clear()
    async with ringing(bell) as rings:
        rings.offer([TaskId(1)])
        await bell.called.wait()

        rings.offer([TaskId(2), TaskId(3)])
        bell.may_answer.set()
        await rings.drain()

    assert bell.rung == [1, 2, 3]
    assert bell.calls == 2


async def test_while_rabbitmq_is_away_rings_are_forgotten_with_one_attempt_a_second() -> None:
    bell = ABell()
    bell.is_away = True
    async with ringing(bell) as rings:
        for n in range(100):
            rings.offer([TaskId(n)])
            await rings.drain()

    assert bell.calls == 1


async def test_a_flood_beyond_the_queue_is_forgotten_and_disturbs_nobody() -> None:
    bell = ABell()
    bell.may_answer.clear()
    async with ringing(bell) as rings:
        rings.offer(TaskId(n) for n in range(30_000))
        bell.may_answer.set()
        await rings.drain()

    assert len(bell.rung) == 20_000


@pytest.mark.parametrize("earlier_rings", [[], [0]])
def test_a_quiet_system_chooses_only_what_is_due(earlier_rings: list[int]) -> None:
    assert len(choose_rings(due(*earlier_rings), ready_tasks=0, depth_messages=0)) == len(
        earlier_rings
    )
