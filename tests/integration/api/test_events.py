"""Following tasks: everything is told once, in whatever order it commits and whoever fails."""

import asyncio
import signal
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pytest

from api_clients import User, a_task, a_user, api_settings
from event_streams import (
    LiveApi,
    Message,
    read_messages,
    serving_live,
    take_events,
)
from orchestrator_api.events import streams
from orchestrator_api.events.watchers import MAX_WAITING
from orchestrator_api.settings import ProcessSettings
from orchestrator_core.attempts import Claim, ResultFile, Settlement, Succeeded
from orchestrator_core.postgres.database import Database
from orchestrator_core.postgres.event_store import EventStore
from orchestrator_core.postgres.task_store import TaskStore
from orchestrator_core.tasks import TaskId
from served_api import environment_of, serving_process
from worker_bench import until

DONE = Succeeded(ResultFile(content=b"x", content_type="text/plain", file_name="x.txt"))
LISTENERS = (
    "FROM pg_stat_activity"
    " WHERE application_name = 'orchestrator-api-listener' AND datname = current_database()"
)
SOON_SECONDS = 0.8
"""Well under the poll's second: only an announcement can be so quick."""


@dataclass
class Hands:
    """Does what a worker does; announces it only when asked to."""

    database: Database

    async def claim(self, task_id: int) -> Claim:
        store = TaskStore(self.database)
        [claim] = await store.claim([TaskId(task_id)], worker_id=uuid.uuid4(), lease_seconds=30)
        return claim

    async def settle(self, claim: Claim) -> None:
        await TaskStore(self.database).settle([Settlement(claim=claim, outcome=DONE)])

    async def complete(self, task_id: int) -> None:
        await self.settle(await self.claim(task_id))

    async def announce(self) -> None:
        await EventStore(self.database).announce()

    async def is_listened_to(self) -> bool:
        return await self.value(f"SELECT count(*) {LISTENERS}") == 1

    async def value(self, query: str) -> int:
        async with self.database.answering("look") as connection:
            return int(await connection.fetchval(query))


@pytest.fixture
def hands(database: Database) -> Hands:
    return Hands(database)


@pytest.fixture
async def live(process_settings: ProcessSettings) -> AsyncIterator[LiveApi]:
    async with serving_live(process_settings) as live:
        yield live


@pytest.fixture
async def user(live: LiveApi) -> User:
    return await a_user(live.client)


@pytest.fixture
async def stranger(live: LiveApi) -> User:
    return await a_user(live.client)


def kinds_of(messages: list[Message]) -> list[tuple[int, int, str]]:
    return [(each.data["task_id"], each.data["seq"], each.data["kind"]) for each in messages]


async def await_free(live: LiveApi) -> None:
    async def look() -> bool:
        return live.places.taken_count == 0

    await until(look)


async def test_a_task_is_told_from_its_beginning_to_its_final_event_and_no_further(
    live: LiveApi, user: User, hands: Hands
) -> None:
    task_id = await a_task(live.client, user)
    claim = await hands.claim(task_id)

    async with live.following(f"/api/v1/tasks/{task_id}/events", user) as messages:
        past = await take_events(messages, 2)
        await hands.settle(claim)
        await hands.announce()
        final = await take_events(messages, 1)
        rest = [message async for message in messages]

    assert [each.id for each in (*past, *final)] == ["1", "2", "3"]
    assert [each.data["status"] for each in (*past, *final)] == [
        *("PENDING", "PROCESSING", "COMPLETED")
    ]
    assert set(final[0].data) == {"task_id", "seq", "at", "status", "kind", "reason"}
    assert rest == []


async def test_who_comes_back_to_a_task_gets_what_he_has_not_had(
    live: LiveApi, user: User, hands: Hands
) -> None:
    task_id = await a_task(live.client, user)
    await hands.complete(task_id)
    path = f"/api/v1/tasks/{task_id}/events"

    async with live.following(path, user, "1") as messages:
        rest = await take_events(messages, 2)
    over = await live.client.get(path, headers={**user.headers, "Last-Event-ID": "3"})

    assert [each.id for each in rest] == ["2", "3"]
    assert (over.status_code, over.content) == (204, b"")


async def test_a_user_is_told_of_all_his_tasks_and_of_no_others(
    live: LiveApi, user: User, stranger: User, hands: Hands
) -> None:
    async with live.following("/api/v1/events", user) as messages:
        await anext(messages)
        mine, foreign, mine_too = [
            await a_task(live.client, each) for each in (user, stranger, user)
        ]
        for task_id in (foreign, mine_too, mine):
            await hands.claim(task_id)
        await hands.announce()
        events = await take_events(messages, 4)

    assert kinds_of(events) == [
        (mine, 1, "ACCEPTED"),
        (mine_too, 1, "ACCEPTED"),
        (mine_too, 2, "CLAIMED"),
        (mine, 2, "CLAIMED"),
    ]


async def test_a_resumed_stream_misses_nothing_and_repeats_nothing_although_commits_overtake(
    live: LiveApi, user: User, database: Database
) -> None:
    slow, quick = [await a_task(live.client, user) for _ in range(2)]
    write = (
        "INSERT INTO task_events (task_id, seq, epoch, status, kind, actor)"
        " VALUES ($1, 2, 0, 'PENDING', 'NOTED', 'test')"
    )
    async with live.following("/api/v1/events", user) as messages:
        beginning = (await anext(messages)).id
    async with (
        database.answering("begin first") as early,
        database.answering("begin second") as late,
    ):
        begun, overtaking = early.transaction(), late.transaction()
        await begun.start()
        await early.execute(write, slow)
        await overtaking.start()
        await late.execute(write, quick)
        await overtaking.commit()
        async with live.following("/api/v1/events", user, beginning) as messages:
            held_back_at = (await anext(messages)).id
        await begun.commit()

    async with live.following("/api/v1/events", user, held_back_at) as messages:
        both = await take_events(messages, 2)
    async with live.following("/api/v1/events", user, both[0].id) as messages:
        [again] = await take_events(messages, 1)

    assert kinds_of(both) == [(slow, 2, "NOTED"), (quick, 2, "NOTED")]
    assert again == both[1]


async def test_a_replay_of_everything_goes_over_into_what_happens_now(
    live: LiveApi, user: User, hands: Hands
) -> None:
    tasks = [await a_task(live.client, user) for _ in range(5)]

    async with live.following("/api/v1/events", user, "1-0-0") as messages:
        past = await take_events(messages, 5)
        await hands.claim(tasks[0])
        [now] = await take_events(messages, 1)

    assert kinds_of(past) == [(task_id, 1, "ACCEPTED") for task_id in tasks]
    assert kinds_of([now]) == [(tasks[0], 2, "CLAIMED")]


async def test_more_at_once_than_may_wait_is_told_all_the_same(
    live: LiveApi, user: User, database: Database
) -> None:
    task_id, count = await a_task(live.client, user), 3 * MAX_WAITING
    async with live.following("/api/v1/events", user) as messages:
        await anext(messages)
        async with database.answering("write") as connection:
            await connection.execute(
                "INSERT INTO task_events (task_id, seq, epoch, status, kind, actor)"
                " SELECT $1, seq, 0, 'PENDING', 'NOTED', 'test' FROM generate_series(2, $2) seq",
                task_id,
                count,
            )
        await a_task(live.client, user)
        events = await take_events(messages, count)

    assert [each.data["seq"] for each in events] == [*range(2, count + 1), 1]


async def test_nobody_follows_the_task_of_somebody_else(
    live: LiveApi, user: User, stranger: User
) -> None:
    task_id = await a_task(live.client, user)

    foreign = await live.client.get(f"/api/v1/tasks/{task_id}/events", headers=stranger.headers)
    missing = await live.client.get("/api/v1/tasks/999/events", headers=stranger.headers)

    assert (foreign.status_code, missing.status_code) == (403, 404)


async def test_an_id_that_no_event_has_is_refused_by_the_headers_name(
    live: LiveApi, user: User
) -> None:
    task_id = await a_task(live.client, user)
    of_task, of_all = f"/api/v1/tasks/{task_id}/events", "/api/v1/events"
    wrong = {
        of_task: ["abc", "-1", "1.5", "99999999999", "2"],
        of_all: ["3", "0-1-1", "1-1-1-1", f"{2**63}-1-1", f"{2**63 - 1}-1-1", "1-1-2147483648"],
    }

    answers = [
        await live.client.get(path, headers={**user.headers, "Last-Event-ID": each})
        for path, ids in wrong.items()
        for each in ids
    ]

    assert {answer.status_code for answer in answers} == {422}
    for answer in answers:
        assert [fault["field"] for fault in answer.json()["errors"]] == ["Last-Event-ID"]


async def test_what_nobody_announces_is_told_within_the_polls_second(
    live: LiveApi, user: User, hands: Hands
) -> None:
    task_id = await a_task(live.client, user)

    async with live.following(f"/api/v1/tasks/{task_id}/events", user, "1") as messages:
        await anext(messages)
        await hands.value(f"SELECT count(pg_terminate_backend(pid)) {LISTENERS}")
        await hands.claim(task_id)
        [event] = await take_events(messages, 1)
        await until(hands.is_listened_to)

    assert event.data["kind"] == "CLAIMED"


async def test_what_is_announced_is_told_at_once(live: LiveApi, user: User, hands: Hands) -> None:
    task_id = await a_task(live.client, user)
    claim = await hands.claim(task_id)

    async with live.following(f"/api/v1/tasks/{task_id}/events", user, "2") as messages:
        await anext(messages)
        # In the middle between two polls.
        await asyncio.sleep(0.1)
        began = time.monotonic()
        await hands.settle(claim)
        await hands.announce()
        await take_events(messages, 1)
        took_seconds = time.monotonic() - began

    assert took_seconds < SOON_SECONDS


async def test_however_many_watch_one_connection_listens(
    live: LiveApi, user: User, hands: Hands
) -> None:
    async with AsyncExitStack() as open_streams:
        for _ in range(20):
            messages = await open_streams.enter_async_context(
                live.following("/api/v1/events", user)
            )
            await anext(messages)
        listeners = await hands.value(f"SELECT count(*) {LISTENERS}")
        pooled = await hands.value(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE application_name = 'orchestrator-api' AND datname = current_database()"
        )

    assert listeners == 1
    assert pooled <= 8


async def test_who_goes_away_leaves_his_place_at_once(live: LiveApi, user: User) -> None:
    task_id = await a_task(live.client, user)
    async with (
        live.following("/api/v1/events", user) as all_events,
        live.following(f"/api/v1/tasks/{task_id}/events", user) as task_events,
    ):
        await anext(all_events)
        await anext(task_events)
        taken = live.places.taken_count
    await await_free(live)

    head = await live.client.head("/api/v1/events", headers=user.headers)

    await await_free(live)
    assert taken == 2
    assert (head.status_code, head.headers["x-accel-buffering"]) == (200, "no")


async def test_a_logout_ends_the_streams_of_that_login_before_another_word(
    live: LiveApi, user: User
) -> None:
    await a_task(live.client, user)
    credentials = {"username": user.name, "password": "password123"}
    login = (await live.client.post("/auth/login", json=credentials)).json()
    other = replace(user, access_token=login["access_token"])

    async with live.following("/api/v1/events", user) as messages:
        await anext(messages)
        await live.client.post("/auth/logout", headers=user.headers)
        await a_task(live.client, other)
        rest = [message async for message in messages]

    assert [(each.event, each.comment) for each in rest] == [(None, "the login has ended")]


async def test_an_access_token_that_ends_takes_its_streams_along(
    process_settings: ProcessSettings,
) -> None:
    api = api_settings(ORCHESTRATOR_API_ACCESS_TOKEN_TTL_SECONDS=2)
    async with serving_live(replace(process_settings, api=api)) as live:
        user = await a_user(live.client)
        async with live.following("/api/v1/events", user) as messages:
            *_, last = [message async for message in messages]

    assert last.comment == "the access token has ended: connect again with a new one"


async def test_there_are_only_so_many_places(process_settings: ProcessSettings) -> None:
    api = api_settings(ORCHESTRATOR_API_WATCHERS=2, ORCHESTRATOR_API_WATCHERS_PER_USER=1)
    async with serving_live(replace(process_settings, api=api)) as live:
        users = [await a_user(live.client) for _ in range(3)]
        async with (
            live.following("/api/v1/events", users[0]) as first,
            live.following("/api/v1/events", users[1]) as second,
        ):
            await anext(first)
            await anext(second)
            too_many_of_one = await live.client.get("/api/v1/events", headers=users[0].headers)
            too_many = await live.client.get("/api/v1/events", headers=users[2].headers)
        await await_free(live)
        async with live.following("/api/v1/events", users[2]) as third:
            await anext(third)

    assert (too_many_of_one.status_code, too_many.status_code) == (429, 503)
    assert all(int(each.headers["retry-after"]) > 0 for each in (too_many_of_one, too_many))


async def test_a_stopping_server_ends_its_streams_and_is_gone_within_its_time(
    live: LiveApi, user: User
) -> None:
    async def is_gone() -> bool:
        return not live.server.servers[0].is_serving() and not live.server.server_state.connections

    async with live.following("/api/v1/events", user) as messages:
        await anext(messages)
        began = time.monotonic()
        live.server.should_exit = True
        rest = [message async for message in messages]
        took_seconds = time.monotonic() - began

    assert [each.comment for each in rest] == ["this server is stopping"]
    assert took_seconds < 2
    await until(is_gone)


async def test_a_process_that_is_told_to_stop_does_not_wait_for_its_streams(
    process_settings: ProcessSettings, tmp_path: Path
) -> None:
    log = tmp_path / "api.log"
    with serving_process(environment_of(process_settings), log) as served:
        async with httpx.AsyncClient(base_url=served.url) as client:
            user = await a_user(client)
            task_id = await a_task(client, user)
            path = f"/api/v1/tasks/{task_id}/events"
            async with client.stream("GET", path, headers=user.headers) as answer:
                messages = read_messages(answer)
                await take_events(messages, 1)
                began = time.monotonic()
                served.process.send_signal(signal.SIGTERM)
                rest = [message async for message in messages]
            code = await asyncio.to_thread(served.process.wait, 30)
            took_seconds = time.monotonic() - began

    assert [each.comment for each in rest] == ["this server is stopping"]
    assert code == 0
    assert took_seconds < process_settings.api.drain_seconds
    assert [line for line in served.lines() if line["level"] in ("warning", "error")] == []


async def test_a_client_that_stops_reading_is_let_go_and_holds_no_memory_meanwhile(
    live: LiveApi, user: User, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "PATIENCE_SECONDS", 0.5)
    task_id = await a_task(live.client, user)
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", live.client.base_url.port, limit=1_024
    )
    writer.write(
        f"GET /api/v1/events HTTP/1.1\r\nHost: api\r\n"
        f"Authorization: Bearer {user.access_token}\r\n\r\n".encode()
    )
    await reader.readuntil(b"retry: ")

    # Above all that the kernel's buffers and uvicorn's take.
    async with database.answering("write") as connection:
        await connection.execute(
            "INSERT INTO task_events (task_id, seq, epoch, status, kind, actor, reason)"
            " SELECT $1, seq, 0, 'PENDING', 'NOTED', 'test', repeat('x', 2000)"
            " FROM generate_series(2, 8000) seq",
            task_id,
        )
    [[watcher]] = live.feed._by_user.values()  # noqa: SLF001 - what it holds is the promise

    async def is_behind() -> bool:
        return watcher.is_behind

    await until(is_behind)
    waiting = len(watcher._waiting)  # noqa: SLF001 - as above
    await await_free(live)
    writer.close()

    assert waiting <= MAX_WAITING
