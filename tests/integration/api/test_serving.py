"""The process as a container runs it: gunicorn, one uvicorn worker, JSON logs, a clean end."""

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from api_clients import JWT_SECRET, PASSWORD, a_task, a_user
from orchestrator_api.settings import ProcessSettings
from orchestrator_core.postgres.database import Database
from served_api import ServedApi, environment_of, process_of, serving_process


@pytest.fixture
def served(process_settings: ProcessSettings, tmp_path: Path) -> Iterator[ServedApi]:
    with serving_process(environment_of(process_settings), tmp_path / "api.log") as served:
        yield served


async def await_closed_door(url: str) -> None:
    """Return once nobody accepts a new connection; bounded by the time limit of a test."""
    while True:
        async with httpx.AsyncClient(base_url=url) as client:
            try:
                await client.get("/livez")
            except httpx.ConnectError:
                return
            except httpx.TransportError:
                # The kernel had accepted it, and the process no longer took it.
                continue


async def end(served: ServedApi) -> int:
    served.process.send_signal(signal.SIGTERM)
    return await asyncio.to_thread(served.process.wait, 30)


async def test_it_serves_under_gunicorn_and_ends_cleanly_on_sigterm(served: ServedApi) -> None:
    async with httpx.AsyncClient(base_url=served.url) as client:
        task_id = await a_task(client, await a_user(client))
        live = await client.get("/livez")

    code = await end(served)

    assert task_id == 1
    assert live.status_code == 200
    assert "server" not in live.headers
    assert code == 0


async def test_a_request_under_way_is_finished_before_the_process_ends(
    served: ServedApi, database: Database
) -> None:
    async with httpx.AsyncClient(base_url=served.url) as client:
        user = await a_user(client)
        async with database.answering("lock") as connection, connection.transaction():
            await connection.execute("LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE")
            submission = asyncio.create_task(a_task(client, user))
            while not await connection.fetchval(
                "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'tasks'::regclass"
            ):
                pass
            ending = asyncio.create_task(end(served))
            await await_closed_door(served.url)

        task_id = await submission
        code = await ending

    assert task_id == 1
    assert code == 0


async def test_every_line_of_the_log_is_json_and_holds_no_secret(served: ServedApi) -> None:
    async with httpx.AsyncClient(base_url=served.url) as client:
        user = await a_user(client, "heidi")
        task_id = await a_task(client, user)
        await client.get(f"/api/v1/tasks/{task_id}", headers=user.headers)
        await client.post("/auth/login", json={"username": "heidi", "password": "canary-guess"})
        await client.post("/auth/refresh", json={"refresh_token": user.refresh_token})
        await client.get("/api/v1/tasks/1?token=canary-query")
    await end(served)

    text = served.log.read_text()
    shown = next(
        line
        for line in served.lines()
        if line["event"] == "request" and line.get("route") == "/api/v1/tasks/{task_id}"
    )
    assert (shown["method"], shown["status"], shown["user_id"]) == ("GET", 200, user.id)
    assert shown["app"] == "api"
    assert len(shown["trace_id"]) == 32
    assert 0 < shown["duration_seconds"] < 5
    for secret in (
        PASSWORD,
        JWT_SECRET,
        "canary",
        user.access_token,
        user.refresh_token,
    ):
        assert secret not in text


async def test_probes_leave_no_line_in_the_log(served: ServedApi) -> None:
    async with httpx.AsyncClient(base_url=served.url) as client:
        for path in ("/livez", "/readyz", "/health"):
            await client.get(path)
    await end(served)

    assert not any(line["event"] == "request" for line in served.lines())


async def test_a_client_that_claims_another_address_is_not_believed(served: ServedApi) -> None:
    async with httpx.AsyncClient(base_url=served.url) as client:
        answer = await client.post(
            "/api/v1/tasks", headers={"X-Forwarded-For": "10.0.0.1", "X-Forwarded-Proto": "https"}
        )
    await end(served)

    assert answer.status_code == 401
    assert "10.0.0.1" not in served.log.read_text()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"APP_ENV": "production"}, "DB_PASSWORD is missing or the default"),
        ({"APP_PORT": "99999"}, "APP_PORT"),
    ],
)
async def test_with_wrong_settings_it_refuses_to_start_with_a_sentence(
    process_settings: ProcessSettings, tmp_path: Path, changes: dict[str, str], reason: str
) -> None:
    environment = environment_of(process_settings, **changes)
    log = tmp_path / "api.log"
    with process_of(environment, log) as process:
        code = await asyncio.to_thread(process.wait, 30)

    assert code == 1
    assert "orchestrator-api can't start: " in log.read_text()
    assert reason in log.read_text()
    assert "Traceback" not in log.read_text()
