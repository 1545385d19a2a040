"""Doorbells become claims in batches, never more than there are messages."""

import asyncio
from collections.abc import Sequence
from random import Random

import pytest

from orchestrator_core.attempts import Claim
from orchestrator_core.errors import StoreUnavailableError
from orchestrator_core.tasks import TaskId
from orchestrator_core.testing import a_claim
from orchestrator_worker import claiming
from orchestrator_worker.claiming import ClaimBatch, Claimer, messages_left
from orchestrator_worker.metrics import Metrics


async def claim_all(claim_batch: ClaimBatch, *task_ids: int) -> list[Claim]:
    claims: list[Claim] = []
    await claim_into(claims, a_claimer(claim_batch), *task_ids)
    return claims


async def claim_into(claims: list[Claim], claimer: Claimer, *task_ids: int) -> None:
    async for won in claimer.claim([TaskId(each) for each in task_ids]):
        claims += won


def a_claimer(claim_batch: ClaimBatch) -> Claimer:
    return Claimer(claim_batch, count=Metrics().count_claims, chance=Random(1))


async def test_messages_that_brought_nothing_are_tried_once_more() -> None:
    asked: list[list[int]] = []

    async def win_one(task_ids: Sequence[TaskId]) -> list[Claim]:
        asked.append(list(task_ids))
        return [a_claim(task_ids[0])]

    claims = await claim_all(win_one, 1, 2, 3)

    assert asked == [[1, 2, 3], [2, 3]]
    assert [claim.task_id for claim in claims] == [1, 2]


async def test_a_lost_race_is_no_claim_and_no_error() -> None:
    async def lose(_: Sequence[TaskId]) -> list[Claim]:
        return []

    assert await claim_all(lose, 1) == []


async def test_a_database_that_comes_back_is_asked_again() -> None:
    answers = iter([False, False, True])

    async def come_back(task_ids: Sequence[TaskId]) -> list[Claim]:
        if not next(answers):
            raise StoreUnavailableError("postgres", "claim")
        return [a_claim(task_id) for task_id in task_ids]

    [claim] = await claim_all(come_back, 5)

    assert claim.task_id == 5


async def test_what_was_won_does_not_wait_for_the_second_try() -> None:
    answers = iter([True, False])

    async def go_away(_: Sequence[TaskId]) -> list[Claim]:
        if not next(answers):
            raise StoreUnavailableError("postgres", "claim")
        return [a_claim(1)]

    assert [claim.task_id for claim in await claim_all(go_away, 1, 2)] == [1]


async def test_what_was_won_is_there_though_the_second_try_broke() -> None:
    answers, claims = iter([[a_claim(1)]]), list[Claim]()

    async def break_down(_: Sequence[TaskId]) -> list[Claim]:
        if (answer := next(answers, None)) is None:
            raise ValueError("a fault of our own")
        return answer

    with pytest.raises(ValueError, match="of our own"):
        await claim_into(claims, a_claimer(break_down), 1, 2)

    assert [claim.task_id for claim in claims] == [1]


async def test_what_was_won_is_there_though_the_second_try_was_cancelled() -> None:
    answers, claims = iter([[a_claim(1)]]), list[Claim]()
    is_asked = asyncio.Event()

    async def hang(_: Sequence[TaskId]) -> list[Claim]:
        if (answer := next(answers, None)) is None:
            is_asked.set()
            await asyncio.Event().wait()
            raise AssertionError
        return answer

    claiming_all = asyncio.create_task(claim_into(claims, a_claimer(hang), 1, 2))
    await is_asked.wait()
    claiming_all.cancel()
    await asyncio.wait({claiming_all})

    assert [claim.task_id for claim in claims] == [1]


async def away(_: Sequence[TaskId]) -> list[Claim]:
    raise StoreUnavailableError("postgres", "claim")


async def test_a_database_that_stays_away_gives_the_messages_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(claiming, "BUDGET_SECONDS", 0.0)

    with pytest.raises(StoreUnavailableError):
        await claim_all(away, 5)


async def test_a_worker_that_ends_does_not_wait_for_the_database() -> None:
    claimer = a_claimer(away)
    claimer.stop()

    async with asyncio.timeout(10):
        with pytest.raises(StoreUnavailableError):
            await claim_into([], claimer, 1)


def test_of_two_messages_for_one_task_the_second_may_bring_another() -> None:
    ids = [TaskId(1), TaskId(1), TaskId(2)]

    assert messages_left(ids, [a_claim(1), a_claim(2)]) == [1]
    assert messages_left(ids, [a_claim(1)]) == [2, 1]
    assert messages_left(ids, [a_claim(1), a_claim(2), a_claim(7)]) == []
