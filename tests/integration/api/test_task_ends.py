"""Failed tasks run again, waiting and running ones cancelled, by their owner alone."""

import uuid

import httpx
import pytest

from api_clients import User, a_task, list_task_ids, read_task
from kept_tasks import end_task
from orchestrator_core.attempts import Failed, Outcome, ResultFile, Succeeded
from orchestrator_core.postgres.database import Database
from orchestrator_core.postgres.task_store import TaskStore
from orchestrator_core.settings import AmqpSettings
from orchestrator_core.tasks import ErrorCode, TaskId
from rung_bells import listening

FAILED = Failed(ErrorCode.HANDLER_ERROR, "no")
DONE = Succeeded(ResultFile(content=b"x", content_type="text/plain", file_name="x.txt"))


async def test_a_failed_task_runs_again_as_a_new_one_and_asked_again_it_is_the_same(
    client: httpx.AsyncClient, user: User, database: Database
) -> None:
    failed = await a_task(client, user, payload={"width": 7}, priority="LOW", max_attempts=2)
    await end_task(database, failed, FAILED)
    path = f"/api/v1/tasks/{failed}/retry"

    answers = [await client.post(path, headers=user.headers) for _ in range(2)]

    new = await read_task(client, user, answers[0].json()["task_id"])
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json() == answers[1].json()
    assert answers[0].json()["status"] == "PENDING"
    assert answers[0].headers["location"] == f"/api/v1/tasks/{new['id']}"
    assert (new["retry_of"], new["status"], new["attempts"]) == (failed, "PENDING", 0)
    assert (new["payload"], new["priority"], new["max_attempts"]) == ({"width": 7}, "LOW", 2)
    assert (await read_task(client, user, failed))["status"] == "FAILED"


async def test_the_bell_rings_for_a_retry(
    client: httpx.AsyncClient, user: User, database: Database, amqp_settings: AmqpSettings
) -> None:
    failed = await a_task(client, user)
    await end_task(database, failed, FAILED)

    async with listening(amqp_settings) as rung_until:
        answer = await client.post(f"/api/v1/tasks/{failed}/retry", headers=user.headers)

        assert await rung_until(answer.json()["task_id"])


async def test_only_a_failed_task_runs_again(
    client: httpx.AsyncClient, user: User, database: Database
) -> None:
    waiting, completed = await a_task(client, user), await a_task(client, user)
    await end_task(database, completed, DONE)

    answers = [
        await client.post(f"/api/v1/tasks/{each}/retry", headers=user.headers)
        for each in (waiting, completed)
    ]

    assert [answer.status_code for answer in answers] == [409, 409]
    assert "is PENDING" in answers[0].json()["error"]
    assert "is COMPLETED" in answers[1].json()["error"]


async def test_a_waiting_and_a_running_task_are_cancelled_and_stay_so(
    client: httpx.AsyncClient, user: User, database: Database
) -> None:
    waiting, running = await a_task(client, user), await a_task(client, user)
    await TaskStore(database).claim([TaskId(running)], worker_id=uuid.uuid4(), lease_seconds=30)

    for task_id in (waiting, running):
        path = f"/api/v1/tasks/{task_id}/cancel"
        answers = [await client.post(path, headers=user.headers) for _ in range(2)]

        assert [answer.status_code for answer in answers] == [200, 200]
        assert answers[0].json()["status"] == answers[0].json()["error_code"] == "CANCELLED"
        assert answers[0].json() == answers[1].json() == await read_task(client, user, task_id)


@pytest.mark.parametrize(("outcome", "status"), [(DONE, "COMPLETED"), (FAILED, "FAILED")])
async def test_a_task_that_has_ended_by_itself_is_not_cancelled(
    client: httpx.AsyncClient, user: User, database: Database, outcome: Outcome, status: str
) -> None:
    task_id = await a_task(client, user)
    await end_task(database, task_id, outcome)

    answer = await client.post(f"/api/v1/tasks/{task_id}/cancel", headers=user.headers)

    assert answer.status_code == 409
    assert f"is {status}" in answer.json()["error"]
    assert (await read_task(client, user, task_id))["status"] == status


@pytest.mark.parametrize("action", ["cancel", "retry"])
async def test_nobody_else_may_end_or_repeat_a_task(
    client: httpx.AsyncClient, user: User, stranger: User, database: Database, action: str
) -> None:
    task_id = await a_task(client, user)
    if action == "retry":
        await end_task(database, task_id, FAILED)
    before = await read_task(client, user, task_id)

    answer = await client.post(f"/api/v1/tasks/{task_id}/{action}", headers=stranger.headers)

    assert answer.status_code == 403
    assert await read_task(client, user, task_id) == before
    assert await list_task_ids(client, user) == [task_id]
