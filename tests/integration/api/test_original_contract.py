"""Golden: what a client made for the original service relies on, to the letter."""

import re

import httpx

TIMES = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


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
    assert created.headers["location"] == "/api/v1/tasks/1"
    assert shown.status_code == 200
    assert listed.status_code == 200
    assert [task["id"] for task in listed.json()["tasks"]] == [1]
