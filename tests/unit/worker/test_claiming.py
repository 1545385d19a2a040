"""Doorbells become claims in batches, each for one journey only."""

import asyncio
from collections.abc import Sequence
from random import Random

import pytest

from orchestrator_core.attempts import Claim
from orchestrator_core.errors import StoreUnavailableError
from orchestrator_core.tasks import TaskId
from orchestrator_core.testing import a_claim
from orchestrator_worker import claiming
from orchestrator_worker.claiming import ClaimBatch, Claimer


async def claim_all(claim_batch: ClaimBatch, *task_ids: int) -> list[Claim | None]:
    claimer = Claimer(claim_batch, slots=8, chance=Random(1))
    running = asyncio.create_task(claimer.run())
    try:
        return await asyncio.gather(*(claimer.claim(TaskId(each)) for each in task_ids))
    finally:
        running.cancel()


async def test_of_two_messages_for_one_task_only_one_gets_the_claim() -> None:
    async def win(task_ids: Sequence[TaskId]) -> list[Claim]:
        return [a_claim(task_id) for task_id in task_ids]

    claims = await claim_all(win, 1, 2, 1)

    assert [claim and claim.task_id for claim in claims] == [1, 2, None]


async def test_a_lost_race_is_no_claim_and_no_error() -> None:
    async def lose(_: Sequence[TaskId]) -> list[Claim]:
        return []

    assert await claim_all(lose, 1) == [None]


async def test_a_database_that_comes_back_is_asked_again() -> None:
    answers = iter([False, False, True])

    async def come_back(task_ids: Sequence[TaskId]) -> list[Claim]:
        if not next(answers):
            raise StoreUnavailableError("postgres", "claim")
        return [a_claim(task_id) for task_id in task_ids]

    [claim] = await claim_all(come_back, 5)

    assert claim is not None


async def test_a_database_that_stays_away_gives_the_message_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(claiming, "BUDGET_SECONDS", 0.0)

    async def away(_: Sequence[TaskId]) -> list[Claim]:
        raise StoreUnavailableError("postgres", "claim")

    with pytest.raises(StoreUnavailableError):
        await claim_all(away, 5)
