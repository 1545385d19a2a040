"""Tasks: submitted, shown, listed, downloaded; and nobody else's."""

import asyncio
import hashlib
import uuid

import httpx
import pytest

from api_clients import RESIZE_SCHEMA, User, a_task
from orchestrator_core.attempts import ResultFile, Settlement, Succeeded
from orchestrator_core.postgres.database import Database
from orchestrator_core.postgres.task_store import TaskStore
from orchestrator_core.tasks import TaskId

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


async def complete(database: Database, task_id: int, result: ResultFile) -> None:
    """Do what a worker does."""
    store = TaskStore(database)
    claims = await store.claim([TaskId(task_id)], worker_id=uuid.uuid4(), lease_seconds=30)
    assert await store.settle([Settlement(claim=claims[0], outcome=Succeeded(result))]) == [True]


async def test_a_task_is_kept_before_its_client_hears_of_it(
    client: httpx.AsyncClient, user: User, database: Database
) -> None:
    answer = await client.post(
        "/api/v1/tasks",
        json={"task_type": "IMAGE_RESIZE", "payload": {"width": 640}, "max_attempts": 2},
        headers=user.headers,
    )

    task_id = answer.json()["task_id"]
    async with database.answering("look") as connection:
        row = await connection.fetchrow("SELECT * FROM tasks WHERE id = $1", task_id)
        event = await connection.fetchrow("SELECT * FROM task_events WHERE task_id = $1", task_id)
    assert answer.headers["location"] == f"/api/v1/tasks/{task_id}"
    assert (row["status"], row["max_attempts"], row["timeout_seconds"]) == ("PENDING", 2, 60)
    assert (event["kind"], event["actor"]) == ("ACCEPTED", "api")


async def test_many_submissions_at_once_are_all_kept_each_with_its_own_id(
    client: httpx.AsyncClient, user: User
) -> None:
    ids = await asyncio.gather(*(a_task(client, user, payload={"width": n}) for n in range(1, 201)))

    page = (await client.get(f"/api/v1/users/{user.id}/tasks", headers=user.headers)).json()
    shown = [
        (await client.get(f"/api/v1/tasks/{task_id}", headers=user.headers)).json()
        for task_id in ids[:20]
    ]
    assert len(set(ids)) == 200
    assert {task["id"] for task in page["tasks"]} == set(ids)
    assert [task["payload"]["width"] for task in shown] == list(range(1, 21))


async def test_a_clients_trace_is_kept_with_its_task(client: httpx.AsyncClient, user: User) -> None:
    answer = await client.post(
        "/api/v1/tasks",
        json={"task_type": "IMAGE_RESIZE"},
        headers={**user.headers, "traceparent": TRACEPARENT},
    )

    task = await client.get(f"/api/v1/tasks/{answer.json()['task_id']}", headers=user.headers)

    assert task.json()["trace_id"] == "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.mark.parametrize(
    ("wish", "field"),
    [
        ({}, "task_type"),
        ({"task_type": "NO_SUCH"}, "task_type"),
        ({"task_type": ""}, "task_type"),
        ({"task_type": 7}, "task_type"),
        ({"task_type": "IMAGE_RESIZE", "payload": {"width": 0}}, "payload.width"),
        ({"task_type": "IMAGE_RESIZE", "payload": {"width": "640"}}, "payload.width"),
        ({"task_type": "IMAGE_RESIZE", "payload": {"format": "exe"}}, "payload.format"),
        ({"task_type": "IMAGE_RESIZE", "payload": {"numbers": [1, "x"]}}, "payload.numbers.1"),
        ({"task_type": "IMAGE_RESIZE", "payload": {"unknown": 1}}, "payload"),
        ({"task_type": "IMAGE_RESIZE", "payload": []}, "payload"),
        ({"task_type": "IMAGE_RESIZE", "payload": None}, "payload"),
        ({"task_type": "IMAGE_RESIZE", "max_attempts": 0}, "max_attempts"),
        ({"task_type": "IMAGE_RESIZE", "max_attempts": 6}, "max_attempts"),
        ({"task_type": "IMAGE_RESIZE", "timeout_seconds": 61}, "timeout_seconds"),
        ({"task_type": "IMAGE_RESIZE", "timeout_seconds": 10**30}, "timeout_seconds"),
        ({"task_type": "IMAGE_RESIZE", "prioritty": 1}, "prioritty"),
    ],
)
async def test_a_wrong_wish_is_refused_by_its_field_and_nothing_is_kept(
    client: httpx.AsyncClient, user: User, wish: dict[str, object], field: str
) -> None:
    answer = await client.post("/api/v1/tasks", json=wish, headers=user.headers)

    page = await client.get(f"/api/v1/users/{user.id}/tasks", headers=user.headers)
    assert answer.status_code == 422
    assert [fault["field"] for fault in answer.json()["errors"]] == [field]
    assert page.json()["tasks"] == []


async def test_an_unknown_type_is_answered_with_the_known_ones(
    client: httpx.AsyncClient, user: User
) -> None:
    answer = await client.post("/api/v1/tasks", json={"task_type": "X"}, headers=user.headers)

    assert answer.json()["errors"][0]["message"] == (
        "unknown; known are DATA_EXPORT, IMAGE_RESIZE, REPORT_GENERATE, VIDEO_PROCESS, send_email"
    )


async def test_a_list_comes_in_pages_that_miss_nothing(
    client: httpx.AsyncClient, user: User
) -> None:
    ids = [await a_task(client, user) for _ in range(5)]
    seen: list[int] = []
    cursor: int | None = 0

    while cursor is not None:
        page = (
            await client.get(
                f"/api/v1/users/{user.id}/tasks",
                params={"limit": 2, "cursor": cursor},
                headers=user.headers,
            )
        ).json()
        seen += [task["id"] for task in page["tasks"]]
        cursor = page["next_cursor"]

    assert seen == ids


async def test_a_page_that_is_just_full_is_known_to_be_the_last(
    client: httpx.AsyncClient, user: User
) -> None:
    for _ in range(2):
        await a_task(client, user)

    page = await client.get(f"/api/v1/users/{user.id}/tasks?limit=2", headers=user.headers)

    assert len(page.json()["tasks"]) == 2
    assert page.json()["next_cursor"] is None


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=x", "limit"),
        ("cursor=-1", "cursor"),
        (f"cursor={2**63}", "cursor"),
        ("cursor=1;DROP TABLE tasks", "cursor"),
    ],
)
async def test_a_wrong_query_is_refused_by_its_field(
    client: httpx.AsyncClient, user: User, query: str, field: str
) -> None:
    answer = await client.get(f"/api/v1/users/{user.id}/tasks?{query}", headers=user.headers)

    assert answer.status_code == 422
    assert [fault["field"] for fault in answer.json()["errors"]] == [field]


@pytest.mark.parametrize("task_id", ["0", "-1", str(2**63), "9" * 400, "abc", "1.5", "1'--", "%00"])
@pytest.mark.parametrize("path", ["tasks/{}", "tasks/{}/result", "users/{}/tasks"])
async def test_a_path_that_can_name_nothing_is_not_found(
    client: httpx.AsyncClient, user: User, path: str, task_id: str
) -> None:
    answer = await client.get(f"/api/v1/{path.format(task_id)}", headers=user.headers)

    assert answer.status_code == 404
    assert answer.json()["error"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/v1/tasks"),
        ("GET", "/api/v1/tasks/{task}"),
        ("GET", "/api/v1/tasks/{task}/result"),
        ("GET", "/api/v1/users/{user}/tasks"),
        ("GET", "/api/v1/task-types"),
    ],
)
@pytest.mark.parametrize(
    "authorization", [None, "", "Bearer", "Bearer ", "Bearer x.y.z", "Basic dXNlcjpwYXNz", "x"]
)
async def test_without_a_good_token_every_task_endpoint_refuses(
    client: httpx.AsyncClient, user: User, method: str, path: str, authorization: str | None
) -> None:
    task_id = await a_task(client, user)
    headers = {} if authorization is None else {"Authorization": authorization}

    answer = await client.request(method, path.format(task=task_id, user=user.id), headers=headers)

    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("path", ["tasks/{task}", "tasks/{task}/result", "users/{user}/tasks"])
async def test_another_user_is_told_nothing_but_that_it_is_not_theirs(
    client: httpx.AsyncClient, user: User, stranger: User, database: Database, path: str
) -> None:
    task_id = await a_task(client, user, payload={"note": "a private matter"})
    result = ResultFile(content=b"private", content_type="text/plain", file_name="private.txt")
    await complete(database, task_id, result)

    answer = await client.get(
        f"/api/v1/{path.format(task=task_id, user=user.id)}", headers=stranger.headers
    )

    assert answer.status_code == 403
    assert answer.json()["error"] == "You can only access your own tasks"
    assert "private" not in answer.text


async def test_a_list_holds_only_the_callers_tasks(
    client: httpx.AsyncClient, user: User, stranger: User
) -> None:
    await a_task(client, user)
    theirs = await a_task(client, stranger)

    page = await client.get(f"/api/v1/users/{stranger.id}/tasks", headers=stranger.headers)

    assert [task["id"] for task in page.json()["tasks"]] == [theirs]


async def test_a_completed_task_shows_its_result_and_gives_the_file(
    client: httpx.AsyncClient, user: User, database: Database
) -> None:
    task_id = await a_task(client, user)
    content = bytes(range(256)) * 100
    result = ResultFile(content=content, content_type="image/jpeg", file_name="image.jpg")
    await complete(database, task_id, result)

    task = (await client.get(f"/api/v1/tasks/{task_id}", headers=user.headers)).json()
    download = await client.get(f"/api/v1/tasks/{task_id}/result", headers=user.headers)

    assert task["status"] == "COMPLETED"
    assert task["result_file"] == f"result/image_{task_id}.jpg"
    assert task["attempts"] == 1
    assert task["created_at"] <= task["started_at"] <= task["finished_at"]
    assert download.content == content
    assert download.headers["content-type"] == "image/jpeg"
    assert f'filename="image_{task_id}.jpg"' in download.headers["content-disposition"]
    assert download.headers["x-content-type-options"] == "nosniff"
    assert download.headers["etag"] == f'"{hashlib.sha256(content).hexdigest()}"'


async def test_a_result_that_the_client_has_is_not_sent_again(
    client: httpx.AsyncClient, user: User, database: Database
) -> None:
    task_id = await a_task(client, user)
    await complete(
        database, task_id, ResultFile(content=b"x", content_type="text/plain", file_name="x.txt")
    )
    first = await client.get(f"/api/v1/tasks/{task_id}/result", headers=user.headers)

    again = await client.get(
        f"/api/v1/tasks/{task_id}/result",
        headers={**user.headers, "If-None-Match": first.headers["etag"]},
    )

    assert (again.status_code, again.content) == (304, b"")


async def test_a_result_whose_time_is_over_is_gone(
    client: httpx.AsyncClient, user: User, database: Database
) -> None:
    task_id = await a_task(client, user)
    await complete(
        database, task_id, ResultFile(content=b"x", content_type="text/plain", file_name="x.txt")
    )
    async with database.answering("let the result expire") as connection:
        await connection.execute("UPDATE task_results SET expires_at = now()")

    answer = await client.get(f"/api/v1/tasks/{task_id}/result", headers=user.headers)
    task = await client.get(f"/api/v1/tasks/{task_id}", headers=user.headers)

    assert (answer.status_code, answer.json()["error"]) == (410, "Result gone")
    assert task.json()["status"] == "COMPLETED"


async def test_a_task_without_a_result_says_so(client: httpx.AsyncClient, user: User) -> None:
    task_id = await a_task(client, user)

    answer = await client.get(f"/api/v1/tasks/{task_id}/result", headers=user.headers)

    assert answer.status_code == 404
    assert answer.json()["error"] == "Result not found"
    assert answer.json()["detail"] == f"task {task_id} is PENDING and has no result"


async def test_the_types_come_with_their_schemas_and_limits(
    client: httpx.AsyncClient, user: User
) -> None:
    answer = await client.get("/api/v1/task-types", headers=user.headers)

    types = {each.pop("task_type"): each for each in answer.json()["task_types"]}
    assert sorted(types) == [
        "DATA_EXPORT",
        "IMAGE_RESIZE",
        "REPORT_GENERATE",
        "VIDEO_PROCESS",
        "send_email",
    ]
    assert types["IMAGE_RESIZE"] == {
        "payload_schema": RESIZE_SCHEMA,
        "timeout_seconds": 60,
        "max_attempts": 5,
    }
