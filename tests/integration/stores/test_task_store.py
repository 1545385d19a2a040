"""The task store's promises, against real Postgres."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable

import pytest

from kept_tasks import keep_tasks
from orchestrator_core.attempts import (
    Claim,
    Failed,
    HandedBack,
    ResultFile,
    RetryAfter,
    Settlement,
    Succeeded,
)
from orchestrator_core.postgres.database import Database
from orchestrator_core.postgres.load_store import LoadStore
from orchestrator_core.postgres.result_store import PostgresResultStore
from orchestrator_core.postgres.task_store import MAX_FREE_HANDBACKS, TaskStore
from orchestrator_core.tasks import ErrorCode, NewTask, TaskId, TaskStatus, UserId
from orchestrator_core.tracing import to_trace_context

LEASE_SECONDS = 30.0
PICTURE = Succeeded(ResultFile(content=b"x" * 10, content_type="image/png", file_name="image.png"))


@pytest.fixture
def store(database: Database) -> TaskStore:
    return TaskStore(database)


def a_task(user_id: UserId, **fields: object) -> NewTask:
    defaults = {
        "user_id": user_id,
        "task_type": "IMAGE_RESIZE",
        "payload": "{}",
        "max_attempts": 3,
        "timeout_seconds": 60,
        "trace_context": to_trace_context(None),
    }
    return NewTask(**{**defaults, **fields})  # type: ignore[arg-type]


Kept = Callable[..., Awaitable[TaskId]]


@pytest.fixture
def kept(database: Database, user_id: UserId) -> Kept:
    async def keep(**fields: object) -> TaskId:
        [task_id] = await keep_tasks(database, [a_task(user_id, **fields)])
        return task_id

    return keep


async def claim_one(
    store: TaskStore, task_id: TaskId, lease_seconds: float = LEASE_SECONDS
) -> Claim:
    [claim] = await store.claim([task_id], worker_id=uuid.uuid4(), lease_seconds=lease_seconds)
    return claim


async def settle_one(store: TaskStore, claim: Claim, outcome: object) -> bool:
    [is_recorded] = await store.settle([Settlement(claim=claim, outcome=outcome)])  # type: ignore[arg-type]
    return is_recorded


async def events_of(database: Database, task_id: TaskId) -> list[tuple[int, int, str, str]]:
    async with database.answering("read events") as connection:
        rows = await connection.fetch(
            "SELECT seq, epoch, status, kind FROM task_events WHERE task_id = $1 ORDER BY seq",
            task_id,
        )
    return [tuple(row) for row in rows]


async def test_of_many_workers_that_race_exactly_one_wins_the_claim(
    store: TaskStore, kept: Kept
) -> None:
    task_id = await kept()

    won = await asyncio.gather(
        *(
            store.claim([task_id], worker_id=uuid.uuid4(), lease_seconds=LEASE_SECONDS)
            for _ in range(8)
        )
    )

    assert sum(len(claims) for claims in won) == 1


async def test_a_settled_task_has_its_verdict_result_and_gap_free_events(
    store: TaskStore, kept: Kept, database: Database
) -> None:
    task_id = await kept()

    is_recorded = await settle_one(store, await claim_one(store, task_id), PICTURE)

    task = await store.find(task_id)
    result = await PostgresResultStore(database).find(task_id)
    assert is_recorded
    assert task is not None
    assert result is not None
    assert (task.status, task.result_file) == (TaskStatus.COMPLETED, f"result/image_{task_id}.png")
    assert (result.size_bytes, result.file_name) == (10, f"image_{task_id}.png")
    assert await events_of(database, task_id) == [
        (1, 0, "PENDING", "ACCEPTED"),
        (2, 1, "PROCESSING", "CLAIMED"),
        (3, 1, "COMPLETED", "COMPLETED"),
    ]


async def test_a_worker_that_lost_its_lease_is_refused(store: TaskStore, kept: Kept) -> None:
    task_id = await kept()
    zombie = await claim_one(store, task_id, lease_seconds=0)
    successor = await claim_one(store, task_id)

    lost = await store.extend_leases([zombie], lease_seconds=LEASE_SECONDS)
    late = await settle_one(store, zombie, Failed(ErrorCode.HANDLER_ERROR, "late"))
    fresh = await settle_one(store, successor, PICTURE)

    task = await store.find(task_id)
    assert (set(lost), late, fresh) == ({task_id}, False, True)
    assert task is not None
    assert (task.status, task.error_message, task.attempts) == (TaskStatus.COMPLETED, None, 2)


async def test_a_verdict_is_recorded_once(store: TaskStore, kept: Kept) -> None:
    claim = await claim_one(store, await kept())
    await settle_one(store, claim, PICTURE)

    assert not await settle_one(store, claim, Failed(ErrorCode.HANDLER_ERROR, "again"))


async def test_a_retry_stays_in_processing_and_is_not_due_before_its_time(
    store: TaskStore, kept: Kept
) -> None:
    task_id = await kept()
    await settle_one(
        store, await claim_one(store, task_id), RetryAfter(ErrorCode.TIMEOUT, "slow", 60)
    )

    early = await store.claim([task_id], worker_id=uuid.uuid4(), lease_seconds=LEASE_SECONDS)

    task = await store.find(task_id)
    assert early == []
    assert task is not None
    assert (task.status, task.error_code, task.attempts) == (TaskStatus.PROCESSING, "TIMEOUT", 1)


async def test_the_last_attempt_fails_for_good(store: TaskStore, kept: Kept) -> None:
    task_id = await kept(max_attempts=1)

    await settle_one(
        store, await claim_one(store, task_id), RetryAfter(ErrorCode.TIMEOUT, "slow", 1)
    )

    task = await store.find(task_id)
    assert task is not None
    assert (task.status, task.error_code) == (TaskStatus.FAILED, "TIMEOUT")


async def test_a_hand_back_spends_no_attempt_until_there_were_too_many(
    store: TaskStore, kept: Kept
) -> None:
    task_id = await kept(max_attempts=2)

    for _ in range(MAX_FREE_HANDBACKS):
        await settle_one(store, await claim_one(store, task_id), HandedBack())
    free = await store.find(task_id)
    await settle_one(store, await claim_one(store, task_id), HandedBack())
    spent = await store.find(task_id)

    assert free is not None
    assert spent is not None
    assert (free.attempts, spent.attempts) == (0, 1)


async def test_the_load_counts_ready_and_leased_tasks(
    store: TaskStore, kept: Kept, database: Database
) -> None:
    leased, _, retried, lost = [await kept() for _ in range(4)]
    await claim_one(store, leased)
    await claim_one(store, lost, lease_seconds=0)
    await settle_one(
        store, await claim_one(store, retried), RetryAfter(ErrorCode.TIMEOUT, "slow", 60)
    )

    load = await LoadStore(database).read()

    assert (load.ready_tasks, load.in_flight_tasks, load.arrivals_total) == (2, 1, 4)
    assert load.oldest_ready_age_seconds > 0


async def test_text_that_postgres_cannot_hold_does_not_lose_the_verdict(
    store: TaskStore, kept: Kept
) -> None:
    task_id = await kept()
    message = "bad \x00 and \ud800 " + "x" * 5000

    await settle_one(
        store, await claim_one(store, task_id), Failed(ErrorCode.HANDLER_ERROR, message)
    )

    task = await store.find(task_id)
    assert task is not None
    assert task.error_message is not None
    assert task.error_message.startswith("bad  and ? xxx")
