"""Cancelling against everything else that moves a task: one of them wins, wholly."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from kept_tasks import keep_tasks
from orchestrator_core.attempts import (
    Claim,
    Failed,
    HandedBack,
    Outcome,
    ResultFile,
    RetryAfter,
    Settlement,
    Succeeded,
)
from orchestrator_core.postgres.account_store import AccountStore
from orchestrator_core.postgres.database import Database
from orchestrator_core.postgres.task_store import TaskStore
from orchestrator_core.tasks import ErrorCode, NewTask, Task, TaskId, TaskStatus
from orchestrator_core.tracing import to_trace_context
from worker_bench import until

DONE = Succeeded(ResultFile(content=b"x", content_type="text/plain", file_name="x.txt"))
FAILED = Failed(ErrorCode.HANDLER_ERROR, "no")
LATER = RetryAfter(ErrorCode.TIMEOUT, "slow", 60)


@pytest.fixture
def store(database: Database) -> TaskStore:
    return TaskStore(database)


@pytest.fixture
async def task_ids(database: Database) -> list[TaskId]:
    user_id = await AccountStore(database).insert("ada", "hash")
    task = NewTask(
        user_id=user_id,
        task_type="IMAGE_RESIZE",
        payload="{}",
        max_attempts=3,
        timeout_seconds=60,
        trace_context=to_trace_context(None),
    )
    return await keep_tasks(database, [task] * 20)


@pytest.fixture
def task_id(task_ids: Sequence[TaskId]) -> TaskId:
    return task_ids[0]


async def claim(store: TaskStore, *task_ids: TaskId) -> list[Claim]:
    return await store.claim(task_ids, worker_id=uuid.uuid4(), lease_seconds=30)


async def settle(store: TaskStore, claim: Claim, outcome: Outcome) -> bool:
    [is_recorded] = await store.settle([Settlement(claim=claim, outcome=outcome)])
    return is_recorded


async def read(store: TaskStore, task_id: TaskId) -> Task:
    task = await store.find(task_id)
    assert task is not None
    return task


async def rows(database: Database, query: str, *arguments: object) -> list[Any]:
    async with database.answering("look") as connection:
        return list(await connection.fetch(query, *arguments))


async def kinds(database: Database, task_id: TaskId) -> list[str]:
    query = "SELECT kind, seq FROM task_events WHERE task_id = $1 ORDER BY seq"
    events = await rows(database, query, task_id)
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    return [event["kind"] for event in events]


async def test_a_waiting_task_is_cancelled_and_nothing_of_it_is_left_to_do(
    store: TaskStore, task_id: TaskId, database: Database
) -> None:
    is_cancelled = await store.cancel(task_id)

    task = await read(store, task_id)
    assert is_cancelled
    assert (task.status, task.attempts, task.started_at) == (TaskStatus.CANCELLED, 0, None)
    assert task.finished_at is not None
    assert await kinds(database, task_id) == ["ACCEPTED", "CANCELLED"]
    # Its message brings a task that waits instead, but never this one.
    assert task_id not in [claim.task_id for claim in await claim(store, task_id)]
    assert await rows(database, "SELECT 1 FROM live_tasks WHERE task_id = $1", task_id) == []


async def test_the_worker_of_a_cancelled_task_learns_that_its_lease_is_lost(
    store: TaskStore, task_id: TaskId
) -> None:
    claims = await claim(store, task_id)
    await store.cancel(task_id)

    lost = await store.extend_leases(claims, lease_seconds=30)

    assert lost == {task_id}


async def test_a_task_that_waits_for_its_next_attempt_is_cancelled_and_its_old_error_gone(
    store: TaskStore, task_id: TaskId, database: Database
) -> None:
    [held] = await claim(store, task_id)
    await settle(store, held, LATER)

    await store.cancel(task_id)

    task = await read(store, task_id)
    assert (task.status, task.error_code) == (TaskStatus.CANCELLED, "CANCELLED")
    assert task.error_message == "its owner asked for it"
    assert await kinds(database, task_id) == ["ACCEPTED", "CLAIMED", "RETRY", "CANCELLED"]


@pytest.mark.parametrize("outcome", [DONE, FAILED, LATER, HandedBack()])
async def test_what_comes_after_the_cancellation_is_refused(
    store: TaskStore, task_id: TaskId, database: Database, outcome: Outcome
) -> None:
    [held] = await claim(store, task_id)
    await store.cancel(task_id)
    before = await read(store, task_id)

    is_recorded = await settle(store, held, outcome)

    assert not is_recorded
    assert await read(store, task_id) == before
    assert await rows(database, "SELECT 1 FROM task_results") == []
    assert await kinds(database, task_id) == ["ACCEPTED", "CLAIMED", "CANCELLED"]


@pytest.mark.parametrize("outcome", [DONE, FAILED])
async def test_a_verdict_that_came_first_stays(
    store: TaskStore, task_id: TaskId, database: Database, outcome: Outcome
) -> None:
    [held] = await claim(store, task_id)
    await settle(store, held, outcome)
    before = await read(store, task_id)

    is_cancelled = await store.cancel(task_id)

    assert not is_cancelled
    assert await read(store, task_id) == before
    assert "CANCELLED" not in await kinds(database, task_id)


async def test_cancelling_again_changes_nothing(
    store: TaskStore, task_id: TaskId, database: Database
) -> None:
    await store.cancel(task_id)
    before = await read(store, task_id)

    assert not await store.cancel(task_id)
    assert await read(store, task_id) == before
    assert await kinds(database, task_id) == ["ACCEPTED", "CANCELLED"]


@asynccontextmanager
async def locked(database: Database, task_id: TaskId) -> AsyncIterator[None]:
    """Keep everybody from the task until the context ends; who asked first is served first."""
    async with database.answering("hold a lock") as connection, connection.transaction():
        await connection.execute("SELECT 1 FROM live_tasks WHERE task_id = $1 FOR UPDATE", task_id)
        yield


async def await_waiting(database: Database, count: int) -> None:
    """Return once so many statements wait for a lock."""
    query = (
        "SELECT 1 FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )

    async def look() -> bool:
        return len(await rows(database, query)) == count

    await until(look)


Move = Callable[[], Awaitable[bool]]


async def run_in_order(database: Database, task_id: TaskId, *moves: Move) -> list[bool]:
    """Let all ``moves`` wait for the task at the same time, the first one in front."""
    started: list[asyncio.Future[bool]] = []
    async with locked(database, task_id):
        for move in moves:
            started.append(asyncio.ensure_future(move()))
            await await_waiting(database, len(started))
    return await asyncio.gather(*started)


async def test_of_two_that_wait_the_cancellation_wins_when_it_is_first(
    store: TaskStore, task_id: TaskId, database: Database
) -> None:
    [held] = await claim(store, task_id)

    won = await run_in_order(
        database, task_id, lambda: store.cancel(task_id), lambda: settle(store, held, DONE)
    )

    assert won == [True, False]
    assert (await read(store, task_id)).status is TaskStatus.CANCELLED
    assert await rows(database, "SELECT 1 FROM task_results") == []


async def test_of_two_that_wait_the_verdict_wins_when_it_is_first(
    store: TaskStore, task_id: TaskId, database: Database
) -> None:
    [held] = await claim(store, task_id)

    won = await run_in_order(
        database, task_id, lambda: settle(store, held, DONE), lambda: store.cancel(task_id)
    )

    assert won == [True, False]
    assert (await read(store, task_id)).status is TaskStatus.COMPLETED


async def test_a_cancellation_behind_a_retry_ends_the_task_as_the_retry_left_it(
    store: TaskStore, task_id: TaskId, database: Database
) -> None:
    [held] = await claim(store, task_id)

    won = await run_in_order(
        database, task_id, lambda: settle(store, held, LATER), lambda: store.cancel(task_id)
    )

    assert won == [True, True]
    assert await kinds(database, task_id) == ["ACCEPTED", "CLAIMED", "RETRY", "CANCELLED"]
    assert await rows(database, "SELECT 1 FROM live_tasks WHERE task_id = $1", task_id) == []


async def test_of_cancellations_and_verdicts_at_once_each_task_gets_exactly_one(
    store: TaskStore, task_ids: list[TaskId], database: Database
) -> None:
    claims = await claim(store, *task_ids)
    settlements = [Settlement(claim=each, outcome=DONE) for each in claims]

    recorded, *cancelled = await asyncio.gather(
        store.settle(settlements), *(store.cancel(each) for each in task_ids)
    )

    assert isinstance(recorded, list)
    for task_id, is_recorded, is_cancelled in zip(task_ids, recorded, cancelled, strict=True):
        assert is_recorded != is_cancelled
        verdict = TaskStatus.CANCELLED if is_cancelled else TaskStatus.COMPLETED
        assert (await read(store, task_id)).status is verdict
        assert await kinds(database, task_id) == ["ACCEPTED", "CLAIMED", verdict.value]
    assert await rows(database, "SELECT 1 FROM live_tasks") == []
