"""Progress: shown with the task, told between its events, and gone with its attempt."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from api_clients import User, a_task, a_user
from event_streams import LiveApi, Message, serving_live, take_events
from orchestrator_api.settings import ProcessSettings
from orchestrator_core.attempts import (
    Claim,
    HandedBack,
    Outcome,
    ProgressReport,
    ResultFile,
    Settlement,
    Succeeded,
    Tending,
)
from orchestrator_core.postgres.database import Database
from orchestrator_core.postgres.event_store import EventStore
from orchestrator_core.postgres.task_store import TaskStore
from orchestrator_core.tasks import TaskId

DONE = Succeeded(ResultFile(content=b"x", content_type="text/plain", file_name="x.txt"))


@dataclass
class Attempt:
    """What a worker does with one attempt."""

    database: Database
    claim: Claim

    async def report(self, fraction: float, message: str = "") -> None:
        tending = Tending(claim=self.claim, progress=ProgressReport(fraction, message))
        assert await TaskStore(self.database).tend([tending]) == frozenset()
        await EventStore(self.database).announce()

    async def settle(self, outcome: Outcome) -> None:
        settlement = Settlement(claim=self.claim, outcome=outcome)
        assert await TaskStore(self.database).settle([settlement]) == [True]
        await EventStore(self.database).announce()


async def begin(database: Database, task_id: int) -> Attempt:
    [claim] = await TaskStore(database).claim(
        [TaskId(task_id)], worker_id=uuid.uuid4(), lease_seconds=30
    )
    return Attempt(database, claim)


async def show(client: httpx.AsyncClient, user: User, task_id: int) -> httpx.Response:
    return await client.get(f"/api/v1/tasks/{task_id}", headers=user.headers)


async def progress_of(client: httpx.AsyncClient, user: User, task_id: int) -> tuple[Any, Any]:
    task = (await show(client, user, task_id)).json()
    return task["progress"], task["progress_message"]


async def take_until(
    messages: AsyncIterator[Message], event: str, *, status: str | None = None
) -> Message:
    """Return the next event of this name, and status."""
    while True:
        [message] = await take_events(messages, 1)
        if message.event == event and status in (None, message.data.get("status")):
            return message


@pytest.fixture
async def live(process_settings: ProcessSettings) -> AsyncIterator[LiveApi]:
    async with serving_live(process_settings) as live:
        yield live


@pytest.fixture
async def watcher(live: LiveApi) -> User:
    return await a_user(live.client)


async def test_the_progress_of_an_attempt_is_shown_while_it_runs(
    client: httpx.AsyncClient, user: User, database: Database
) -> None:
    task_id = await a_task(client, user)
    shown = [await progress_of(client, user, task_id)]
    first = await begin(database, task_id)
    await first.report(0.3, "page 3 of 10")
    shown.append(await progress_of(client, user, task_id))
    await first.settle(HandedBack())
    shown.append(await progress_of(client, user, task_id))
    second = await begin(database, task_id)
    await second.report(0.9)
    shown.append(await progress_of(client, user, task_id))
    await second.settle(DONE)
    shown.append(await progress_of(client, user, task_id))

    assert shown == [(None, None), (0.3, "page 3 of 10"), (None, None), (0.9, None), (1.0, None)]


async def test_a_list_shows_the_progress_of_each_of_its_tasks(
    client: httpx.AsyncClient, user: User, database: Database
) -> None:
    waiting, running = await a_task(client, user), await a_task(client, user)
    await (await begin(database, running)).report(0.5, "half")

    page = (await client.get(f"/api/v1/users/{user.id}/tasks", headers=user.headers)).json()

    shown = [(each["id"], each["progress"], each["progress_message"]) for each in page["tasks"]]
    assert shown == [(waiting, None, None), (running, 0.5, "half")]


async def test_a_tasks_etag_changes_with_its_progress_and_with_nothing_else(
    client: httpx.AsyncClient, user: User, database: Database
) -> None:
    task_id = await a_task(client, user)
    attempt = await begin(database, task_id)
    etags = []
    for fraction, message in ((0.1, ""), (0.1, ""), (0.2, ""), (0.2, "soon")):
        await attempt.report(fraction, message)
        etags.append((await show(client, user, task_id)).headers["etag"])

    stale, current = [
        await client.get(
            f"/api/v1/tasks/{task_id}", headers={**user.headers, "If-None-Match": etag}
        )
        for etag in (etags[0], etags[-1])
    ]

    assert etags[0] == etags[1]
    assert len(set(etags)) == 3
    assert (stale.status_code, current.status_code) == (200, 304)


async def test_a_long_poll_is_not_ended_by_progress_and_shows_it_in_the_end(
    client: httpx.AsyncClient, user: User, database: Database
) -> None:
    task_id = await a_task(client, user)
    attempt = await begin(database, task_id)
    etag = (await show(client, user, task_id)).headers["etag"]
    poll = asyncio.create_task(
        client.get(
            f"/api/v1/tasks/{task_id}?wait=3", headers={**user.headers, "If-None-Match": etag}
        )
    )
    # The poll compares before it waits: progress that comes first is news and ends it at once.
    await asyncio.wait({poll}, timeout=0.5)
    for fraction in (0.1, 0.2, 0.3):
        await attempt.report(fraction)
        done, _ = await asyncio.wait({poll}, timeout=0.4)
        assert done == set()

    answer = await poll

    assert (answer.status_code, answer.json()["progress"]) == (200, 0.3)


@pytest.mark.parametrize("path", ["/api/v1/tasks/{}/events", "/api/v1/events"])
async def test_streams_tell_progress_between_the_events_and_without_an_id(
    live: LiveApi, watcher: User, database: Database, path: str
) -> None:
    task_id = await a_task(live.client, watcher)
    async with live.following(path.format(task_id), watcher) as messages:
        await anext(messages)
        attempt = await begin(database, task_id)
        await attempt.report(0.25, "a quarter")
        first = await take_until(messages, "progress")
        await attempt.report(0.5)
        second = await take_until(messages, "progress")
        await attempt.settle(DONE)
        final = await take_until(messages, "task", status="COMPLETED")

    assert [each.data for each in (first, second)] == [
        {"task_id": task_id, "progress": 0.25, "progress_message": "a quarter"},
        {"task_id": task_id, "progress": 0.5, "progress_message": None},
    ]
    assert (first.id, second.id) == (None, None)
    assert final.id is not None


async def test_of_many_reports_in_a_moment_a_stream_tells_the_latest(
    live: LiveApi, watcher: User, database: Database
) -> None:
    task_id = await a_task(live.client, watcher)
    attempt = await begin(database, task_id)
    told: list[float] = []
    async with live.following(f"/api/v1/tasks/{task_id}/events", watcher, "2") as messages:
        await anext(messages)
        for percent in range(1, 101):
            await attempt.report(percent / 100)
        while not told or told[-1] < 1:
            told.append((await take_until(messages, "progress")).data["progress"])

    assert told == sorted(set(told))
    assert len(told) < 20


async def test_nobody_is_told_the_progress_of_somebody_elses_task(
    live: LiveApi, watcher: User, database: Database
) -> None:
    stranger = await a_user(live.client)
    foreign, own = await a_task(live.client, stranger), await a_task(live.client, watcher)
    async with live.following("/api/v1/events", watcher) as messages:
        await anext(messages)
        for task_id in (foreign, own):
            await (await begin(database, task_id)).report(0.5)
        told = await take_until(messages, "progress")

    assert told.data["task_id"] == own


async def test_progress_is_found_while_many_delayed_tasks_wait(
    live: LiveApi, watcher: User, database: Database
) -> None:
    task_id = await a_task(live.client, watcher)
    async with database.answering("delay many") as connection:
        await connection.execute(
            "WITH kept AS (INSERT INTO tasks (user_id, task_type, payload, max_attempts,"
            " timeout_seconds, trace_context)"
            " SELECT $1, 'IMAGE_RESIZE', '{}', 3, 60, 'trace' FROM generate_series(1, 500)"
            " RETURNING id)"
            " INSERT INTO live_tasks (task_id, due_at, ring_at)"
            " SELECT id, now() + interval '10 s', now() + interval '10 s' FROM kept",
            watcher.id,
        )
    async with live.following("/api/v1/events", watcher) as messages:
        await anext(messages)
        await (await begin(database, task_id)).report(0.5)
        told = await take_until(messages, "progress")

    assert told.data["task_id"] == task_id
