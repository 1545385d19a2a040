"""What clients get while a store is away: 503 in time, or service without it."""

import asyncio
import time
from dataclasses import replace

import httpx
import pytest

import services
from api_clients import PASSWORD, User, a_task, a_user, serving
from orchestrator_api.settings import ProcessSettings
from orchestrator_core.postgres.database import Database
from orchestrator_core.settings import AmqpSettings, PostgresSettings, RedisSettings

CREDENTIALS = {"username": "grace", "password": PASSWORD}


def without_postgres(settings: ProcessSettings) -> ProcessSettings:
    nowhere = PostgresSettings(DB_HOST="127.0.0.1", DB_PORT=services.free_port())
    return replace(settings, postgres=nowhere)


def without_rabbitmq(settings: ProcessSettings) -> ProcessSettings:
    return replace(settings, amqp=AmqpSettings(RABBITMQ_URL="amqp://guest:guest@127.0.0.1:1/"))


def without_redis(settings: ProcessSettings) -> ProcessSettings:
    nowhere = RedisSettings(REDIS_HOST="127.0.0.1", REDIS_PORT=services.free_port())
    return replace(settings, redis=nowhere)


async def state_of(client: httpx.AsyncClient, store: str, awaited: str) -> httpx.Response:
    """Ask for the health until ``store`` is ``awaited``; bounded by the time limit of a test."""
    while True:
        answer = await client.get("/health")
        if answer.json()["dependencies"][store] == awaited:
            return answer


async def test_with_all_stores_there_everything_is_ok(client: httpx.AsyncClient) -> None:
    answer = await state_of(client, "rabbitmq", "ok")

    assert answer.status_code == 200
    assert answer.json() == {
        "status": "ok",
        "dependencies": {"postgres": "ok", "rabbitmq": "ok", "redis": "ok"},
    }


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/auth/register", CREDENTIALS),
        ("POST", "/auth/login", CREDENTIALS),
        ("POST", "/auth/refresh", {"refresh_token": "x"}),
        ("POST", "/api/v1/tasks", {"task_type": "IMAGE_RESIZE"}),
        ("GET", "/api/v1/tasks/1", None),
        ("GET", "/api/v1/tasks/1/result", None),
        ("GET", "/api/v1/users/1/tasks", None),
        ("GET", "/api/v1/task-types", None),
    ],
)
async def test_without_postgres_every_call_gets_503_in_time_with_a_time_to_come_back(
    process_settings: ProcessSettings,
    user: User,
    method: str,
    path: str,
    body: dict[str, str] | None,
) -> None:
    async with serving(without_postgres(process_settings)) as client:
        started = time.monotonic()
        answer = await client.request(method, path, json=body, headers=user.headers)
        took_seconds = time.monotonic() - started

    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    assert answer.json()["error"] == "Service unavailable"
    assert "127.0.0.1" not in answer.text
    assert took_seconds < 5


async def test_without_postgres_the_process_lives_and_is_not_ready_and_says_why(
    process_settings: ProcessSettings,
) -> None:
    async with serving(without_postgres(process_settings)) as client:
        live = await client.get("/livez")
        ready = await client.get("/readyz")
        healthy = await client.get("/health")

    assert live.status_code == 200
    assert ready.status_code == 503
    assert ready.json()["dependencies"]["postgres"] == "unavailable"
    assert healthy.status_code == 503
    assert healthy.json()["status"] == "unavailable"


async def test_without_postgres_the_sweep_goes_on_trying_and_the_process_stays_alive(
    process_settings: ProcessSettings,
) -> None:
    async with serving(without_postgres(process_settings)) as client:
        await state_of(client, "rabbitmq", "ok")
        live = await client.get("/livez")

    assert live.status_code == 200


async def test_without_rabbitmq_tasks_are_accepted_and_it_is_ready_and_says_what_is_missing(
    process_settings: ProcessSettings,
) -> None:
    async with serving(without_rabbitmq(process_settings)) as client:
        task_id = await a_task(client, await a_user(client))
        ready = await client.get("/readyz")

    assert task_id == 1
    assert ready.status_code == 200
    assert ready.json() == {
        "status": "degraded",
        "dependencies": {"postgres": "ok", "rabbitmq": "unavailable", "redis": "ok"},
    }


async def test_without_redis_tasks_are_accepted_and_it_is_ready_and_says_what_is_missing(
    process_settings: ProcessSettings,
) -> None:
    async with serving(without_redis(process_settings)) as client:
        task_id = await a_task(client, await a_user(client))
        answer = await state_of(client, "rabbitmq", "ok")

    assert task_id == 1
    assert answer.status_code == 200
    assert answer.json()["status"] == "degraded"
    assert answer.json()["dependencies"]["redis"] == "unavailable"


async def test_a_locked_table_makes_calls_fail_in_time_and_heals_by_itself(
    client: httpx.AsyncClient, user: User, database: Database
) -> None:
    async with database.answering("lock") as connection, connection.transaction():
        await connection.execute("LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE")
        started = time.monotonic()
        answers = await asyncio.gather(
            client.post("/api/v1/tasks", json={"task_type": "IMAGE_RESIZE"}, headers=user.headers),
            client.get("/api/v1/tasks/1", headers=user.headers),
        )
        took_seconds = time.monotonic() - started

    assert [answer.status_code for answer in answers] == [503, 503]
    assert took_seconds < 5
    assert await a_task(client, user) > 0


async def test_a_client_that_hangs_up_cancels_nothing(
    client: httpx.AsyncClient, user: User, database: Database
) -> None:
    async with database.answering("lock") as connection, connection.transaction():
        await connection.execute("LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE")
        submission = asyncio.create_task(a_task(client, user))
        while not await connection.fetchval(
            "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'tasks'::regclass"
        ):
            pass
        submission.cancel()
        await asyncio.gather(submission, return_exceptions=True)

    second = await a_task(client, user)
    page = await client.get(f"/api/v1/users/{user.id}/tasks", headers=user.headers)
    ids = [task["id"] for task in page.json()["tasks"]]
    assert ids[-1] == second
    assert len(ids) == 2
