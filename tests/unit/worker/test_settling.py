"""An outcome is recorded once, and never kept from a task for ever."""

import asyncio
from collections.abc import Sequence
from random import Random

import pytest

from orchestrator_core.attempts import Failed, Outcome, Settlement, Succeeded
from orchestrator_core.errors import RowRefusedError, StoreUnavailableError
from orchestrator_core.tasks import ErrorCode
from orchestrator_core.testing import a_claim, a_result
from orchestrator_worker import settling
from orchestrator_worker.leasing import Interruption, Lease
from orchestrator_worker.metrics import Metrics
from orchestrator_worker.settling import SettleBatch, Settler, fitting_count

DONE = Succeeded(a_result())


def a_settlement(size_bytes: int) -> Settlement:
    return Settlement(claim=a_claim(), outcome=Succeeded(a_result(b"x" * size_bytes)))


async def settle_all(settle_batch: SettleBatch, *pairs: tuple[Lease, Outcome]) -> list[bool]:
    settler = Settler(settle_batch, slots=8, count=Metrics().count_settled, chance=Random(1))
    running = asyncio.create_task(settler.run())
    try:
        return await asyncio.gather(*(settler.settle(lease, outcome) for lease, outcome in pairs))
    finally:
        running.cancel()


async def test_each_outcome_learns_whether_it_was_recorded() -> None:
    async def settle(settlements: Sequence[Settlement]) -> list[bool]:
        return [each.claim.task_id == 1 for each in settlements]

    recorded = await settle_all(settle, (Lease(a_claim(1)), DONE), (Lease(a_claim(2)), DONE))

    assert recorded == [True, False]


async def test_a_database_that_comes_back_gets_the_outcome() -> None:
    answers = iter([False, False, True])

    async def come_back(settlements: Sequence[Settlement]) -> list[bool]:
        if not next(answers):
            raise StoreUnavailableError("postgres", "settle")
        return [True] * len(settlements)

    assert await settle_all(come_back, (Lease(a_claim()), DONE)) == [True]


async def test_a_lost_lease_ends_the_tries() -> None:
    lease = Lease(a_claim())

    async def away(_: Sequence[Settlement]) -> list[bool]:
        lease.interrupt(Interruption.LEASE_LOST)
        raise StoreUnavailableError("postgres", "settle")

    assert await settle_all(away, (lease, DONE)) == [False]


async def test_a_budget_ends_the_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settling, "BUDGET_SECONDS", 0.05)

    async def away(_: Sequence[Settlement]) -> list[bool]:
        raise StoreUnavailableError("postgres", "settle")

    assert await settle_all(away, (Lease(a_claim()), DONE)) == [False]


async def test_a_result_that_postgres_refuses_becomes_a_failure_with_a_sentence() -> None:
    kept: list[Outcome] = []

    async def refuse(settlements: Sequence[Settlement]) -> list[bool]:
        if any(isinstance(each.outcome, Succeeded) for each in settlements):
            raise RowRefusedError("settle")
        kept.extend(each.outcome for each in settlements)
        return [True] * len(settlements)

    recorded = await settle_all(refuse, (Lease(a_claim()), DONE))

    assert recorded == [True]
    assert kept == [Failed(ErrorCode.HANDLER_ERROR, "the handler's result can't be stored")]


async def test_large_results_go_out_in_statements_that_postgres_can_take_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(settling, "MAX_BATCH_BYTES", 10)
    sizes: list[int] = []

    async def settle(settlements: Sequence[Settlement]) -> list[bool]:
        sizes.append(len(settlements))
        return [True] * len(settlements)

    large = Succeeded(a_result(b"x" * 6))
    recorded = await settle_all(settle, *((Lease(a_claim(n)), large) for n in range(1, 4)))

    assert recorded == [True] * 3
    assert sizes == [1, 1, 1]


@pytest.mark.parametrize(
    ("sizes", "count"), [([4, 4, 4], 2), ([11], 1), ([11, 1], 1), ([5, 5], 2), ([0, 0], 2)]
)
def test_as_many_settlements_fit_as_their_results_allow(sizes: list[int], count: int) -> None:
    assert fitting_count([a_settlement(size) for size in sizes], max_bytes=10) == count
