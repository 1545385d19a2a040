"""A task's owner, and nobody else, learns why it is as it is, from its submission to its end."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

import services
from api_clients import User, a_task, a_user, serving
from explained_tasks import a_pod_end, a_report
from orchestrator_api.settings import ProcessSettings
from orchestrator_core.attempts import Failed, Outcome, RetryAfter, Settlement
from orchestrator_core.load import WorkerReport
from orchestrator_core.postgres.database import Database
from orchestrator_core.postgres.pool_store import PoolStore
from orchestrator_core.postgres.task_store import TaskStore
from orchestrator_core.postgres.worker_store import WorkerStore
from orchestrator_core.redis.connections import RedisConnection
from orchestrator_core.settings import AmqpSettings, PostgresSettings
from orchestrator_core.tasks import ErrorCode, TaskId

HEARD_SECONDS = 10.0


class Worker:
    """What a worker process does to Postgres."""

    def __init__(self, database: Database, *, slots: int = 4) -> None:
        self.id: UUID = uuid4()
        self._database = database
        self._slots = slots

    async def report(self, *, busy_slots: int = 0) -> None:
        report = WorkerReport(
            completions=0,
            busy_seconds=0,
            slots=self._slots,
            busy_slots=busy_slots,
            is_resting=False,
        )
        await WorkerStore(self._database).report(self.id, report, pod_name="demo-worker-1")

    async def run(
        self, task_id: int, outcome: Outcome | None, *, lease_seconds: float = 30
    ) -> None:
        """Claim a task; settle it, or leave it running."""
        store = TaskStore(self._database)
        [claim] = await store.claim(
            [TaskId(task_id)], worker_id=self.id, lease_seconds=lease_seconds
        )
        if outcome is not None:
            assert await store.settle([Settlement(claim=claim, outcome=outcome)]) == [True]


@pytest.fixture
def worker(database: Database) -> Worker:
    return Worker(database)


async def ask(client: httpx.AsyncClient, user: User, task_id: int) -> httpx.Response:
    return await client.get(f"/api/v1/tasks/{task_id}/explain", headers=user.headers)


async def read(client: httpx.AsyncClient, user: User, task_id: int) -> dict[str, Any]:
    answer = await ask(client, user, task_id)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def await_told(
    client: httpx.AsyncClient,
    user: User,
    task_id: int,
    is_told: Callable[[dict[str, Any]], bool],
) -> dict[str, Any]:
    """Ask until what another service of the process finds out is in the answer."""
    async with asyncio.timeout(HEARD_SECONDS):
        while True:
            told = await read(client, user, task_id)
            if is_told(told):
                return told
            await asyncio.sleep(0.05)


async def test_from_an_empty_pool_to_a_failure_every_step_has_its_reason(
    client: httpx.AsyncClient, user: User, database: Database, worker: Worker
) -> None:
    task_id = await a_task(client, user, max_attempts=2)
    told = [await read(client, user, task_id)]
    await PoolStore(database).tell(a_report(desired_replicas=0))
    told.append(await read(client, user, task_id))
    await worker.report()
    told.append(await await_told(client, user, task_id, lambda each: not each["unavailable"]))
    await worker.run(task_id, RetryAfter(ErrorCode.TIMEOUT, "over 60 s", 0.2))
    told.append(await read(client, user, task_id))
    await asyncio.sleep(0.3)
    await worker.run(task_id, None)
    told.append(await read(client, user, task_id))

    assert [each["reason"] for each in told] == [
        "NO_WORKERS",
        "WORKERS_STARTING",
        "ABOUT_TO_START",
        "RETRY_BACKOFF",
        "RUNNING",
    ]
    assert told[0]["expected_start_at"] is None
    assert told[1]["expectation"] == "Measured: a worker starts within 5 s."
    assert told[1]["queue"] == {"position": 1, "waiting": 1, "is_at_least": False}
    assert told[2]["pool"] == {
        "workers": 1,
        "slots": 4,
        "free_slots": 4,
        "mode": "Automatic",
        "min_workers": 0,
        "max_workers": 10,
        "desired_workers": 0,
        "limited": None,
        "held": None,
    }
    assert told[3]["expected_start_at"] == told[3]["due_at"]
    assert [(each["number"], each["end"]) for each in told[4]["attempts"]] == [
        (1, "RETRY"),
        (2, "RUNNING"),
    ]
    assert told[4]["attempts"][0]["message"] == "over 60 s"
    assert told[4]["lease_until"] > told[4]["read_at"]


async def test_an_attempt_that_was_lost_shows_the_end_of_its_container(
    client: httpx.AsyncClient, user: User, database: Database, worker: Worker
) -> None:
    task_id = await a_task(client, user)
    await worker.report()
    await worker.run(task_id, None, lease_seconds=0)
    now = datetime.now(UTC)
    end = a_pod_end(began_at=now - timedelta(minutes=1), ended_at=now + timedelta(seconds=1))
    await PoolStore(database).record_ends([end])

    told = await read(client, user, task_id)

    [attempt] = told["attempts"]
    assert told["reason"] == "WORKER_LOST"
    assert "OOMKilled, exit code 137" in told["sentence"]
    assert (attempt["end"], attempt["pod"]) == ("WORKER_LOST", "demo-worker-1")
    shown = attempt["pod_end"]
    assert datetime.fromisoformat(shown.pop("ended_at")) == end.ended_at
    assert shown == {"container": "worker", "reason": "OOMKilled", "exit_code": 137, "message": ""}


async def test_a_failed_task_tells_its_error_and_each_attempt(
    client: httpx.AsyncClient, user: User, worker: Worker
) -> None:
    task_id = await a_task(client, user)
    await worker.run(task_id, Failed(ErrorCode.INVALID_INPUT, "no picture"))

    told = await read(client, user, task_id)

    assert (told["status"], told["reason"], told["error_code"]) == (
        "FAILED",
        "FAILED",
        "INVALID_INPUT",
    )
    assert told["sentence"] == (
        "It has failed (INVALID_INPUT): no picture; 1 of 5 attempts were used."
    )
    assert [each["end"] for each in told["attempts"]] == ["FAILED"]
    assert (told["queue"], told["pool"]) == (None, None)


async def test_a_task_for_later_and_a_cancelled_one_say_so(
    client: httpx.AsyncClient, user: User
) -> None:
    run_at = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    task_id = await a_task(client, user, run_at=run_at)
    before = await read(client, user, task_id)
    await client.post(f"/api/v1/tasks/{task_id}/cancel", headers=user.headers)
    after = await read(client, user, task_id)

    assert (before["reason"], after["reason"]) == ("SCHEDULED", "CANCELLED")
    assert datetime.fromisoformat(before["due_at"]) == datetime.fromisoformat(run_at)
    assert (after["due_at"], after["expectation"]) == (None, "It has ended.")


async def test_without_rabbitmq_a_task_for_which_a_slot_is_free_waits_for_that(
    process_settings: ProcessSettings, worker: Worker
) -> None:
    nowhere = AmqpSettings(RABBITMQ_URL=f"amqp://guest:guest@127.0.0.1:{services.free_port()}/")
    async with serving(replace(process_settings, amqp=nowhere)) as client:
        user = await a_user(client)
        task_id = await a_task(client, user)
        await worker.report()

        told = await read(client, user, task_id)

    assert (told["reason"], told["unavailable"]) == ("BROKER_AWAY", ["rabbitmq"])
    assert told["expected_start_at"] is None


async def test_without_postgres_it_is_503_and_when_to_come_back(
    process_settings: ProcessSettings, user: User
) -> None:
    nowhere = PostgresSettings(DB_HOST="127.0.0.1", DB_PORT=services.free_port())
    async with serving(replace(process_settings, postgres=nowhere)) as alone:
        answer = await ask(alone, user, 1)

    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["retry-after"]


async def test_only_the_owner_gets_an_explanation_and_nobody_may_keep_it(
    client: httpx.AsyncClient, user: User
) -> None:
    task_id = await a_task(client, user)
    stranger = await a_user(client)

    answers = [await ask(client, each, task_id) for each in (user, stranger)]
    missing = await ask(client, user, 2**40)

    assert [each.status_code for each in answers] == [200, 403]
    assert missing.status_code == 404
    assert answers[0].headers["cache-control"] == "no-store"


async def test_a_full_pool_tells_a_place_and_a_time_from_what_attempts_took(
    client: httpx.AsyncClient, user: User, database: Database, worker: Worker
) -> None:
    done = await a_task(client, user)
    await worker.run(done, Failed(ErrorCode.HANDLER_ERROR, "no"))
    running, first, second = [await a_task(client, user) for _ in range(3)]
    await worker.run(running, None)
    await worker.report(busy_slots=4)
    await PoolStore(database).tell(a_report(desired_replicas=1, max_replicas=1))

    told = [await read(client, user, each) for each in (first, second)]

    assert [each["reason"] for each in told] == ["POOL_AT_CAP", "POOL_AT_CAP"]
    assert [each["queue"]["position"] for each in told] == [1, 2]
    assert told[0]["read_at"] < told[0]["expected_start_at"]
    waits = [
        datetime.fromisoformat(each["expected_start_at"]) - datetime.fromisoformat(each["read_at"])
        for each in told
    ]
    assert waits[1] == pytest.approx(2 * waits[0], abs=timedelta(microseconds=2))
    assert told[1]["expectation"].startswith("Measured: the latest 1 attempts took ")


async def test_redis_away_is_said_and_changes_nothing_else(
    client: httpx.AsyncClient,
    user: User,
    worker: Worker,
    redis: RedisConnection,
    process_settings: ProcessSettings,
) -> None:
    task_id = await a_task(client, user)
    await worker.report()
    nowhere = process_settings.redis.model_copy(update={"port": services.free_port()})
    async with serving(replace(process_settings, redis=nowhere)) as alone:
        told = await await_told(alone, user, task_id, lambda each: each["unavailable"] == ["redis"])

    assert redis.is_answering
    assert told["reason"] == "ABOUT_TO_START"
