"""Loops: rings add up, passes never overlap, failures are repeated at a distance."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from orchestrator_core.errors import OrchestratorError
from orchestrator_operator import looping
from orchestrator_operator.looping import Loops, ResourceKey, Verdict, retry_seconds

KEY = ResourceKey("team", "demo")


class Passes:
    """Counts passes and lets a test decide how each goes."""

    def __init__(self, *outcomes: Verdict | Exception) -> None:
        self.outcomes = list(outcomes)
        self.count = 0
        self.running = 0
        self.most_at_once = 0
        self.counted = asyncio.Condition()
        self.gate = asyncio.Event()
        self.gate.set()
        self.parted: list[ResourceKey] = []

    async def attempt(self, _: ResourceKey) -> Verdict:
        self.running += 1
        self.most_at_once = max(self.most_at_once, self.running)
        await self.gate.wait()
        self.running -= 1
        async with self.counted:
            self.count += 1
            self.counted.notify_all()
        outcome = self.outcomes.pop(0) if self.outcomes else Verdict.DONE
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def farewell(self, key: ResourceKey) -> None:
        self.parted.append(key)

    async def reach(self, count: int) -> None:
        async with asyncio.timeout(5), self.counted:
            await self.counted.wait_for(lambda: self.count >= count)


@asynccontextmanager
async def loops_over(passes: Passes) -> AsyncIterator[Loops]:
    loops = Loops(passes.attempt, farewell=passes.farewell, debounce_seconds=0.01)
    try:
        yield loops
    finally:
        await loops.close()


@pytest.fixture(autouse=True)
def _fast_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looping, "SHORTEST_RETRY_SECONDS", 0.01)
    monkeypatch.setattr(looping, "LONGEST_RETRY_SECONDS", 0.02)
    monkeypatch.setattr(looping, "SOON_SECONDS", 0.01)


async def eventually(truth: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not truth():  # noqa: ASYNC110 - yields to the loop; there is no event to wait for
            await asyncio.sleep(0)


async def test_rings_that_come_together_make_one_pass() -> None:
    passes = Passes()
    async with loops_over(passes) as loops:
        for _ in range(10):
            loops.ring(KEY)
        await passes.reach(1)
        loops.ring(KEY)
        await passes.reach(2)

    assert passes.count == 2


async def test_a_ring_during_a_pass_leads_to_another_one_afterwards() -> None:
    passes = Passes()
    passes.gate.clear()
    async with loops_over(passes) as loops:
        loops.ring(KEY)
        await eventually(lambda: passes.running == 1)
        loops.ring(KEY)
        passes.gate.set()
        await passes.reach(2)

    assert passes.most_at_once == 1


async def test_resources_do_not_wait_for_each_other() -> None:
    passes = Passes()
    passes.gate.clear()
    async with loops_over(passes) as loops:
        loops.ring(KEY)
        loops.ring(ResourceKey("team", "other"))
        await eventually(lambda: passes.running == 2)
        passes.gate.set()
        await passes.reach(2)


@pytest.mark.parametrize(
    "outcome",
    [
        Verdict.RETRY,
        Verdict.SOON,
        OrchestratorError("the cluster is away"),
        ValueError("a mistake"),
    ],
)
async def test_a_failed_pass_is_repeated_without_a_ring(outcome: Verdict | Exception) -> None:
    passes = Passes(outcome, outcome)
    async with loops_over(passes) as loops:
        loops.ring(KEY)
        await passes.reach(3)

    assert passes.outcomes == []


async def test_a_loop_ends_with_its_resource_and_opens_again_with_a_new_one() -> None:
    passes = Passes(Verdict.GONE)
    async with loops_over(passes) as loops:
        loops.ring(KEY)
        await eventually(lambda: loops.keys == ())
        assert passes.parted == [KEY]
        loops.ring(KEY)
        await passes.reach(2)


async def test_a_ring_while_the_resource_goes_is_not_lost() -> None:
    passes = Passes(Verdict.GONE)
    passes.gate.clear()
    async with loops_over(passes) as loops:
        loops.ring(KEY)
        await eventually(lambda: passes.running == 1)
        loops.ring(KEY)
        passes.gate.set()
        await passes.reach(2)


async def test_closing_parts_from_every_resource() -> None:
    passes = Passes()
    async with loops_over(passes) as loops:
        loops.ring(KEY)
        await passes.reach(1)

    assert passes.parted == [KEY]


async def test_a_stuck_pass_shows() -> None:
    passes = Passes()
    passes.gate.clear()
    async with loops_over(passes) as loops:
        assert loops.longest_pass_seconds() == 0
        loops.ring(KEY)
        await eventually(lambda: loops.longest_pass_seconds() > 0)
        passes.gate.set()


def test_retries_grow_to_a_minute_and_are_spread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looping, "SHORTEST_RETRY_SECONDS", 1.0)
    monkeypatch.setattr(looping, "LONGEST_RETRY_SECONDS", 60.0)

    assert [retry_seconds(failures, 1.0) for failures in (1, 2, 3, 7, 1000)] == [1, 2, 4, 60, 60]
    assert [retry_seconds(failures, 0.0) for failures in (1, 2, 3, 7, 1000)] == [1, 1, 2, 30, 30]
