"""The history's promises: nothing missed, nothing twice, in whatever order transactions commit."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from orchestrator_core.events import EventPosition
from orchestrator_core.postgres.account_store import AccountStore
from orchestrator_core.postgres.announcing import Announcer
from orchestrator_core.postgres.database import Database
from orchestrator_core.postgres.event_store import CHANNEL, EventPage, EventStore
from orchestrator_core.settings import PostgresSettings
from orchestrator_core.tasks import TaskId, UserId

A_TASK = """
INSERT INTO tasks (user_id, task_type, payload, max_attempts, timeout_seconds, trace_context)
VALUES ($1, 'T', '{}', 3, 60, 'trace')
RETURNING id
"""
AN_EVENT = """
INSERT INTO task_events (task_id, seq, epoch, status, kind, actor)
VALUES ($1, $2, 0, 'PENDING', 'ACCEPTED', 'api')
"""
MAX_SCAN = 1_000


@pytest.fixture
def store(database: Database) -> EventStore:
    return EventStore(database)


@asynccontextmanager
async def by_hand(settings: PostgresSettings) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(
        host=settings.host, port=settings.port, user=settings.user, database=settings.database
    )
    try:
        yield connection
    finally:
        await connection.close()


async def write(connection: Any, user_id: UserId, *, events: int = 1) -> TaskId:
    task_id = await connection.fetchval(A_TASK, user_id)
    for seq in range(1, events + 1):
        await connection.execute(AN_EVENT, task_id, seq)
    return TaskId(task_id)


def names_of(page: EventPage) -> list[tuple[int, int]]:
    return [(event.task_id, event.seq) for event in page.events]


async def test_of_two_transactions_that_commit_in_reverse_order_each_is_told_once(
    store: EventStore, user_id: UserId, postgres_settings: PostgresSettings
) -> None:
    start = await store.read_horizon()
    async with by_hand(postgres_settings) as first, by_hand(postgres_settings) as second:
        begun, overtaking = first.transaction(), second.transaction()
        await begun.start()
        early = await write(first, user_id)
        await overtaking.start()
        late = await write(second, user_id)
        await overtaking.commit()

        held_back = await store.read_page([user_id], after=start, max_scan=MAX_SCAN)
        await begun.commit()
        told = await store.read_page([user_id], after=held_back.end, max_scan=MAX_SCAN)
        nothing = await store.read_page([user_id], after=told.end, max_scan=MAX_SCAN)
        resumed = await store.read_page([user_id], after=told.events[0].position, max_scan=MAX_SCAN)

    assert (names_of(held_back), held_back.is_more_coming) == ([], True)
    assert (names_of(told), told.is_more_coming) == ([(early, 1), (late, 1)], False)
    assert names_of(nothing) == []
    assert names_of(resumed) == [(late, 1)]


async def test_a_transaction_that_is_taken_back_holds_up_nothing(
    store: EventStore, user_id: UserId, postgres_settings: PostgresSettings
) -> None:
    start = await store.read_horizon()
    async with by_hand(postgres_settings) as first, by_hand(postgres_settings) as second:
        begun = first.transaction()
        await begun.start()
        await write(first, user_id)
        task_id = await write(second, user_id)
        await begun.rollback()

    page = await store.read_page([user_id], after=start, max_scan=MAX_SCAN)

    assert names_of(page) == [(task_id, 1)]


async def test_pages_end_where_they_stopped_looking_whoever_the_events_belong_to(
    store: EventStore, user_id: UserId, database: Database, postgres_settings: PostgresSettings
) -> None:
    start, found, pages = await store.read_horizon(), [], 0
    stranger = await AccountStore(database).insert("eve", "hash")
    async with by_hand(postgres_settings) as connection, connection.transaction():
        # One transaction, so that only the task and the number tell the events apart.
        tasks = [await write(connection, each, events=2) for each in (user_id, stranger) * 4]

    after, is_more_coming = start, True
    while is_more_coming:
        page = await store.read_page([user_id], after=after, max_scan=3)
        found += names_of(page)
        after, is_more_coming, pages = page.end, page.is_more_coming, pages + 1

    assert found == [(task_id, seq) for task_id in tasks[::2] for seq in (1, 2)]
    assert pages == 6


async def test_events_from_before_the_feed_are_never_told(
    store: EventStore, user_id: UserId, database: Database
) -> None:
    async with database.answering("write") as connection:
        task_id = await connection.fetchval(A_TASK, user_id)
        await connection.execute(
            AN_EVENT.replace("actor)", "actor, position)").replace("'api')", "'api', 0)"),
            task_id,
            1,
        )

    beginning = EventPosition(transaction=1, task_id=TaskId(0), seq=0)
    page = await store.read_page([user_id], after=beginning, max_scan=MAX_SCAN)
    history = await store.read_of_tasks({TaskId(task_id): 0}, limit=10)

    assert names_of(page) == []
    assert [event.seq for event in history] == [1]


async def test_watched_tasks_are_read_from_their_own_marks_even_while_others_still_write(
    store: EventStore, user_id: UserId, postgres_settings: PostgresSettings
) -> None:
    async with by_hand(postgres_settings) as first, by_hand(postgres_settings) as second:
        begun = first.transaction()
        await begun.start()
        await write(first, user_id)
        known, fresh = [await write(second, user_id, events=3) for _ in range(2)]

        events = await store.read_of_tasks({known: 2, fresh: 0}, limit=10)
        await begun.rollback()

    assert [(each.task_id, each.seq) for each in events] == [
        (known, 3),
        (fresh, 1),
        (fresh, 2),
        (fresh, 3),
    ]
    assert {each.user_id for each in events} == {user_id}


async def test_many_moves_at_once_are_announced_in_few_words(
    store: EventStore, postgres_settings: PostgresSettings
) -> None:
    heard, again = 0, asyncio.Event()

    def hear(*_: object) -> None:
        nonlocal heard
        heard += 1
        again.set()

    announcer = Announcer(store)
    async with by_hand(postgres_settings) as connection:
        await connection.add_listener(CHANNEL, hear)
        running = asyncio.create_task(announcer.run())
        for _ in range(100):
            announcer.offer()
        await again.wait()
        again.clear()
        announcer.offer()
        await again.wait()
        running.cancel()

    assert heard == 2
