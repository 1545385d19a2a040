"""Waiting for a task with one request: answered when there is news, or when the time is over."""

import asyncio
import time
import uuid
from dataclasses import replace

import httpx

from api_clients import User, a_task, a_user, api_settings, serving
from event_streams import serving_live
from orchestrator_api.settings import ProcessSettings
from orchestrator_core.attempts import ResultFile, Settlement, Succeeded
from orchestrator_core.postgres.database import Database
from orchestrator_core.postgres.event_store import EventStore
from orchestrator_core.postgres.task_store import TaskStore
from orchestrator_core.tasks import TaskId
from worker_bench import until

DONE = Succeeded(ResultFile(content=b"x", content_type="text/plain", file_name="x.txt"))
WAIT_SECONDS = 30
A_MOMENT_SECONDS = 5.0
"""Far below the wait; how quick it really is, test_events measures."""


async def claim_and_settle(database: Database, task_id: int, *, settles: bool = True) -> None:
    store = TaskStore(database)
    [claim] = await store.claim([TaskId(task_id)], worker_id=uuid.uuid4(), lease_seconds=30)
    if settles:
        await store.settle([Settlement(claim=claim, outcome=DONE)])
    await EventStore(database).announce()


def waiting(
    client: httpx.AsyncClient,
    user: User,
    task_id: int,
    *,
    seconds: float = WAIT_SECONDS,
    etag: str | None = None,
) -> "asyncio.Task[httpx.Response]":
    headers = user.headers if etag is None else {**user.headers, "If-None-Match": etag}
    path = f"/api/v1/tasks/{task_id}?wait={seconds}"
    return asyncio.create_task(client.get(path, headers=headers, timeout=2 * WAIT_SECONDS))


async def test_it_answers_as_soon_as_the_task_is_final(
    client: httpx.AsyncClient, user: User, database: Database
) -> None:
    task_id = await a_task(client, user)
    began = time.monotonic()
    poll = waiting(client, user, task_id)

    await claim_and_settle(database, task_id)
    answer = await poll

    assert time.monotonic() - began < A_MOMENT_SECONDS
    assert (answer.status_code, answer.json()["status"]) == (200, "COMPLETED")


async def test_when_its_time_is_over_it_says_how_the_task_is_then(
    client: httpx.AsyncClient, user: User, database: Database
) -> None:
    task_id = await a_task(client, user)
    poll = waiting(client, user, task_id, seconds=1)

    await claim_and_settle(database, task_id, settles=False)
    answer = await poll

    assert (answer.status_code, answer.json()["status"]) == (200, "PROCESSING")


async def test_with_an_etag_it_waits_for_any_change(
    client: httpx.AsyncClient, user: User, database: Database
) -> None:
    task_id = await a_task(client, user)
    etag = (await client.get(f"/api/v1/tasks/{task_id}", headers=user.headers)).headers["etag"]
    began = time.monotonic()
    poll = waiting(client, user, task_id, etag=etag)

    await claim_and_settle(database, task_id, settles=False)
    answer = await poll
    stale = await waiting(client, user, task_id, etag=etag)

    assert time.monotonic() - began < A_MOMENT_SECONDS
    assert (answer.status_code, answer.json()["status"]) == (200, "PROCESSING")
    assert answer.headers["etag"] != etag
    assert stale.content == answer.content


async def test_with_an_etag_and_no_change_it_says_so_in_the_end(
    client: httpx.AsyncClient, user: User
) -> None:
    task_id = await a_task(client, user)
    etag = (await client.get(f"/api/v1/tasks/{task_id}", headers=user.headers)).headers["etag"]

    answer = await waiting(client, user, task_id, seconds=1, etag=etag)

    assert (answer.status_code, answer.headers["etag"]) == (304, etag)


async def test_it_waits_longer_than_other_requests_may_take(
    process_settings: ProcessSettings,
) -> None:
    api = api_settings(ORCHESTRATOR_API_DEADLINE_SECONDS=0.5)
    async with serving(replace(process_settings, api=api)) as client:
        user = await a_user(client)
        task_id = await a_task(client, user)

        answer = await waiting(client, user, task_id, seconds=1)

    assert (answer.status_code, answer.json()["status"]) == (200, "PENDING")


async def test_a_final_task_is_not_waited_for(
    client: httpx.AsyncClient, user: User, database: Database
) -> None:
    task_id = await a_task(client, user)
    await claim_and_settle(database, task_id)
    began = time.monotonic()

    first = await waiting(client, user, task_id)
    again = await waiting(client, user, task_id, etag=first.headers["etag"])

    assert time.monotonic() - began < A_MOMENT_SECONDS
    assert (first.status_code, again.status_code) == (200, 304)


async def test_a_wait_out_of_bounds_is_refused_by_name(
    client: httpx.AsyncClient, user: User
) -> None:
    task_id = await a_task(client, user)

    answers = [
        await client.get(f"/api/v1/tasks/{task_id}?wait={wait}", headers=user.headers)
        for wait in ("-1", "61", "soon")
    ]

    for answer in answers:
        assert answer.status_code == 422
        assert [fault["field"] for fault in answer.json()["errors"]] == ["wait"]


async def test_a_login_that_ends_meanwhile_gets_no_answer(
    client: httpx.AsyncClient, user: User, database: Database
) -> None:
    task_id = await a_task(client, user)
    poll = waiting(client, user, task_id)
    await client.post("/auth/logout", headers=user.headers)

    await claim_and_settle(database, task_id)

    assert (await poll).status_code == 401


async def test_who_goes_away_is_waited_for_no_longer(
    process_settings: ProcessSettings, user: User, client: httpx.AsyncClient
) -> None:
    task_id = await a_task(client, user)
    async with serving_live(process_settings) as live:
        poll = waiting(live.client, user, task_id)

        async def is_waiting() -> bool:
            return live.places.taken_count == 1

        async def is_free() -> bool:
            return live.places.taken_count == 0

        await until(is_waiting)
        poll.cancel()
        await until(is_free)

    assert poll.cancelled()
