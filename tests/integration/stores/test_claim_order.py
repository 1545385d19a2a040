"""Which tasks a batch of messages brings: those they name, unless others should go first."""

import asyncio
import uuid
from datetime import UTC, datetime, timedelta

import pytest

from kept_tasks import keep_tasks
from orchestrator_core.attempts import HandedBack, Settlement
from orchestrator_core.postgres.database import Database
from orchestrator_core.postgres.task_store import MAX_FREE_HANDBACKS, TaskStore
from orchestrator_core.tasks import NewTask, TaskId, TaskPriority, TaskStatus, UserId
from orchestrator_core.tracing import to_trace_context

LOW, NORMAL, HIGH = TaskPriority.LOW, TaskPriority.NORMAL, TaskPriority.HIGH


@pytest.fixture
def store(database: Database) -> TaskStore:
    return TaskStore(database)


async def keep(
    database: Database, user_id: UserId, *priorities: TaskPriority, run_at: datetime | None = None
) -> list[TaskId]:
    tasks = [
        NewTask(
            user_id=user_id,
            task_type="IMAGE_RESIZE",
            payload="{}",
            max_attempts=1,
            timeout_seconds=60,
            trace_context=to_trace_context(None),
            priority=priority,
            run_at=run_at,
        )
        for priority in priorities
    ]
    return await keep_tasks(database, tasks)


async def claim(store: TaskStore, *task_ids: int) -> list[TaskId]:
    claims = await store.claim(
        [TaskId(each) for each in task_ids], worker_id=uuid.uuid4(), lease_seconds=30
    )
    return [each.task_id for each in claims]


async def test_messages_bring_the_tasks_they_name(
    store: TaskStore, database: Database, user_id: UserId
) -> None:
    first, second, third = await keep(database, user_id, NORMAL, NORMAL, NORMAL)

    assert await claim(store, third) == [third]
    assert await claim(store, first, second) == [first, second]


async def test_one_that_waits_with_a_higher_priority_goes_first(
    store: TaskStore, database: Database, user_id: UserId
) -> None:
    low, normal, high = await keep(database, user_id, LOW, NORMAL, HIGH)

    assert await claim(store, low) == [high]
    assert await claim(store, low) == [normal]
    assert await claim(store, low) == [low]


async def test_a_batch_takes_the_best_of_all_and_names_them_best_first(
    store: TaskStore, database: Database, user_id: UserId
) -> None:
    low_1, low_2, normal_1, normal_2, high = await keep(
        database, user_id, LOW, LOW, NORMAL, NORMAL, HIGH
    )

    assert await claim(store, low_1, low_2, normal_2) == [high, normal_1, normal_2]


async def test_what_is_not_due_yet_never_goes_first(
    store: TaskStore, database: Database, user_id: UserId
) -> None:
    [low] = await keep(database, user_id, LOW)
    [later] = await keep(database, user_id, HIGH, run_at=datetime.now(UTC) + timedelta(hours=1))

    assert await claim(store, low) == [low]
    assert await claim(store, later) == []


async def test_a_message_whose_task_is_taken_brings_the_longest_waiting_one(
    store: TaskStore, database: Database, user_id: UserId
) -> None:
    taken, older, newer = await keep(database, user_id, NORMAL, NORMAL, NORMAL)
    await claim(store, taken)

    assert await claim(store, taken) == [older]
    assert await claim(store, taken, 4711) == [newer]
    assert await claim(store, taken, 4711) == []


async def test_workers_that_race_take_each_task_once_and_leave_none(
    store: TaskStore, database: Database, user_id: UserId
) -> None:
    ids = await keep(database, user_id, *([LOW, NORMAL, HIGH] * 20))

    won = await asyncio.gather(*(claim(store, *ids[start::6]) for start in range(6)))
    # Whoever found a task in another's hands asks once more, as workers do.
    rest = [await claim(store, *ids[: len(ids) - sum(map(len, won))])]

    assert sorted(task_id for claims in [*won, *rest] for task_id in claims) == sorted(ids)


async def test_a_hand_back_that_can_not_be_given_back_ends_the_task(
    store: TaskStore, database: Database, user_id: UserId
) -> None:
    [task_id] = await keep(database, user_id, NORMAL)

    for _ in range(MAX_FREE_HANDBACKS + 1):
        [held] = await store.claim([task_id], worker_id=uuid.uuid4(), lease_seconds=30)
        await store.settle([Settlement(claim=held, outcome=HandedBack())])

    task = await store.find(task_id)
    assert task is not None
    assert (task.status, task.error_code) == (TaskStatus.FAILED, "ATTEMPTS_EXHAUSTED")
    assert await claim(store, task_id) == []
