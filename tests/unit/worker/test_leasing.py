"""Leases live as long as their attempts, and a lost one ends its attempt."""

import asyncio
from collections.abc import Sequence

from orchestrator_core.attempts import Claim
from orchestrator_core.errors import StoreUnavailableError
from orchestrator_core.tasks import TaskId
from orchestrator_core.testing import a_claim
from orchestrator_worker.leasing import ExtendBatch, Interruption, Leases

SHORT_SECONDS = 0.03


class Running:
    """Leases that are being extended while the context is open."""

    def __init__(self, extend: ExtendBatch) -> None:
        self.leases = Leases(extend, lease_seconds=SHORT_SECONDS)

    async def __aenter__(self) -> Leases:
        self.task = asyncio.create_task(self.leases.run())
        return self.leases

    async def __aexit__(self, *_: object) -> None:
        self.task.cancel()
        await asyncio.wait({self.task})


async def test_all_leases_are_extended_with_one_statement() -> None:
    batches: asyncio.Queue[list[TaskId]] = asyncio.Queue()

    async def extend(claims: Sequence[Claim]) -> frozenset[TaskId]:
        batches.put_nowait([claim.task_id for claim in claims])
        return frozenset()

    async with Running(extend) as leases:
        with leases.held(a_claim(1)), leases.held(a_claim(2)):
            both = await batches.get()

    assert both == [1, 2]


async def test_a_lost_lease_interrupts_its_attempt_and_no_other() -> None:
    async def lose_first(_: Sequence[Claim]) -> frozenset[TaskId]:
        return frozenset({TaskId(1)})

    async with Running(lose_first) as leases:
        with leases.held(a_claim(1)) as first, leases.held(a_claim(2)) as second:
            reason = await first.interrupted

    assert reason is Interruption.LEASE_LOST
    assert first.is_lost
    assert not second.is_lost


async def test_a_database_that_is_away_is_asked_again_soon() -> None:
    answers = iter([False, True])
    is_extended = asyncio.Event()

    async def come_back(_: Sequence[Claim]) -> frozenset[TaskId]:
        if not next(answers, True):
            raise StoreUnavailableError("postgres", "extend")
        is_extended.set()
        return frozenset()

    async with Running(come_back) as leases:
        with leases.held(a_claim()) as lease:
            await is_extended.wait()

    assert not lease.is_lost


async def test_an_attempt_that_settled_meanwhile_is_not_told_that_it_lost() -> None:
    is_asked, may_answer = asyncio.Event(), asyncio.Event()

    async def slow(_: Sequence[Claim]) -> frozenset[TaskId]:
        is_asked.set()
        await may_answer.wait()
        return frozenset({TaskId(17)})

    async with Running(slow) as leases:
        with leases.held(a_claim()) as settled:
            await is_asked.wait()
        with leases.held(a_claim(epoch=2)) as successor:
            may_answer.set()
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    assert not settled.is_lost
    assert not successor.is_lost


async def test_draining_interrupts_every_attempt_for_another_reason() -> None:
    async def extend(_: Sequence[Claim]) -> frozenset[TaskId]:
        return frozenset()

    leases = Leases(extend, lease_seconds=30)
    with leases.held(a_claim()) as lease:
        leases.interrupt_all(Interruption.DRAINING)

    assert lease.interrupted.result() is Interruption.DRAINING
    assert not lease.is_lost
