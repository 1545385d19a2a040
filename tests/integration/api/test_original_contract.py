"""Golden: what a client made for the original service relies on, to the letter."""

import re

import httpx

from api_clients import PASSWORD, User, a_task

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


async def test_the_originals_session_works_as_its_readme_shows_it(
    client: httpx.AsyncClient,
) -> None:
    credentials = {"username": "testuser", "password": "password123"}

    registered = await client.post("/auth/register", json=credentials)
    login = await client.post("/auth/login", json=credentials)
    headers = {"Authorization": f"Bearer {login.json()['access_token']}"}
    created = await client.post(
        "/api/v1/tasks", json={"task_type": "IMAGE_RESIZE"}, headers=headers
    )
    shown = await client.get("/api/v1/tasks/1", headers=headers)
    listed = await client.get("/api/v1/users/1/tasks", headers=headers)

    assert registered.status_code == 201
    assert registered.json() == {"user_id": 1, "message": "User registered successfully"}
    assert login.status_code == 200
    assert list(login.json()) == ["access_token", "refresh_token", "expires_in"]
    assert login.json()["expires_in"] == 900
    assert created.status_code == 201
    assert created.json() == {
        "task_id": 1,
        "status": "PENDING",
        "message": "Task created successfully",
    }
    assert shown.status_code == 200
    assert shown.json()["id"] == 1
    assert listed.status_code == 200
    assert [task["id"] for task in listed.json()["tasks"]] == [1]


async def test_a_task_has_the_originals_fields_and_the_new_ones(
    client: httpx.AsyncClient, user: User
) -> None:
    task_id = await a_task(client, user, payload={"width": 640})

    task = (await client.get(f"/api/v1/tasks/{task_id}", headers=user.headers)).json()

    created_at, updated_at, trace_id = (
        task.pop(name) for name in ("created_at", "updated_at", "trace_id")
    )
    assert TIME.fullmatch(created_at)
    assert TIME.fullmatch(updated_at)
    assert re.fullmatch("[0-9a-f]{32}", trace_id)
    assert task == {
        "id": task_id,
        "user_id": user.id,
        "task_type": "IMAGE_RESIZE",
        "status": "PENDING",
        "result_file": None,
        "error_message": None,
        "payload": {"width": 640},
        "progress": None,
        "progress_message": None,
        "priority": "NORMAL",
        "run_at": None,
        "retry_of": None,
        "attempts": 0,
        "max_attempts": 5,
        "timeout_seconds": 60,
        "started_at": None,
        "finished_at": None,
        "error_code": None,
    }


async def test_a_listed_task_has_the_originals_fields(
    client: httpx.AsyncClient, user: User
) -> None:
    await a_task(client, user)

    page = (await client.get(f"/api/v1/users/{user.id}/tasks", headers=user.headers)).json()

    assert set(page) == {"tasks", "next_cursor"}
    assert page["next_cursor"] is None
    assert {"id", "user_id", "task_type", "status", "created_at"} <= set(page["tasks"][0])


async def test_a_refresh_answers_like_a_login(client: httpx.AsyncClient, user: User) -> None:
    answer = await client.post("/auth/refresh", json={"refresh_token": user.refresh_token})

    assert answer.status_code == 200
    assert list(answer.json()) == ["access_token", "refresh_token", "expires_in"]
    assert answer.json()["expires_in"] == 900
    assert answer.json()["refresh_token"] != user.refresh_token


async def test_the_originals_statuses_stand(
    client: httpx.AsyncClient, user: User, stranger: User
) -> None:
    task_id = await a_task(client, user)
    taken = {"username": user.name, "password": PASSWORD}
    wrong = {"username": user.name, "password": "wrong-password"}

    answers = {
        "taken": await client.post("/auth/register", json=taken),
        "wrong": await client.post("/auth/login", json=wrong),
        "anonymous": await client.get(f"/api/v1/tasks/{task_id}"),
        "absent": await client.get("/api/v1/tasks/999999", headers=user.headers),
        "not yours": await client.get(f"/api/v1/tasks/{task_id}", headers=stranger.headers),
        "their list": await client.get(f"/api/v1/users/{user.id}/tasks", headers=stranger.headers),
        "unknown type": await client.post(
            "/api/v1/tasks", json={"task_type": "NO_SUCH"}, headers=user.headers
        ),
    }

    assert {name: answer.status_code for name, answer in answers.items()} == {
        "taken": 409,
        "wrong": 401,
        "anonymous": 401,
        "absent": 404,
        "not yours": 403,
        "their list": 403,
        "unknown type": 422,
    }
    assert all(answer.json()["error"] for answer in answers.values())


async def test_health_answers_without_a_token(client: httpx.AsyncClient) -> None:
    answer = await client.get("/health")

    assert answer.status_code == 200
    assert set(answer.json()["dependencies"]) == {"postgres", "rabbitmq", "redis"}
