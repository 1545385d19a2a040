"""Golden: every curl of the original's README, as pasted but for the host and the token."""

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

import services
from own_stores import own_stores
from served_api import ServedApi, environment_of, serving_process

REGISTER = """
curl -X POST http://localhost:8087/auth/register \\
  -H "Content-Type: application/json" \\
  -d '{
    "username": "testuser",
    "password": "password123"
  }'
"""
LOGIN = """
curl -X POST http://localhost:8087/auth/login \\
  -H "Content-Type: application/json" \\
  -d '{
    "username": "testuser",
    "password": "password123"
  }'
"""
CREATE = """
curl -X POST http://localhost:8087/api/v1/tasks \\
  -H "Authorization: Bearer <TOKEN>" \\
  -H "Content-Type: application/json" \\
  -d '{
    "task_type": "IMAGE_RESIZE"
  }'
"""
SHOW = """
curl -X GET http://localhost:8087/api/v1/tasks/1 \\
  -H "Authorization: Bearer <TOKEN>"
"""
CREATE_WITH_VARIABLE = """
curl -X POST http://localhost:8087/api/v1/tasks \\
  -H "Authorization: Bearer $TOKEN" \\
  -H "Content-Type: application/json" \\
  -d '{"task_type": "IMAGE_RESIZE"}'
"""
WATCH = """
curl -s http://localhost:8087/api/v1/tasks/1 -H "Authorization: Bearer $TOKEN"
"""


@dataclass(frozen=True)
class Printed:
    """What curl wrote."""

    status: int
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


@pytest.fixture(scope="module")
def original(
    postgres_service: services.Service,
    redis_service: services.Service,
    rabbitmq_service: services.Service,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[ServedApi]:
    """A process whose first user and first task have the id 1, with the default limits."""
    log = tmp_path_factory.mktemp("original") / "api.log"
    with own_stores(postgres_service, redis_service, rabbitmq_service) as settings:
        environment = environment_of(settings, ORCHESTRATOR_API_RATE_LIMITS="{}")
        with serving_process(environment, log) as served:
            yield served


def paste(api: ServedApi, command: str, token: str = "") -> Printed:
    """Run a command of the README against ``api``."""
    script = command.replace("http://localhost:8087", api.url).replace("<TOKEN>", token).strip()
    run = subprocess.run(
        ["bash", "-c", f"{script} --silent --write-out '\\n%{{http_code}}'"],
        env={"PATH": os.environ["PATH"], "TOKEN": token},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    text, _, status = run.stdout.rpartition("\n")
    return Printed(int(status), text)


def test_every_curl_of_the_readme_answers_what_the_readme_says(original: ServedApi) -> None:
    registered = paste(original, REGISTER)
    login = paste(original, LOGIN)
    token = login.json["access_token"]
    created = paste(original, CREATE, token)
    shown = paste(original, SHOW, token)
    created_again = paste(original, CREATE_WITH_VARIABLE, token)
    watched = paste(original, WATCH, token)

    assert (registered.status, registered.json) == (
        201,
        {"user_id": 1, "message": "User registered successfully"},
    )
    assert login.status == 200
    assert list(login.json) == ["access_token", "refresh_token", "expires_in"]
    assert login.json["expires_in"] == 900
    assert (created.status, created.json) == (
        201,
        {"task_id": 1, "status": "PENDING", "message": "Task created successfully"},
    )
    assert (created_again.status, created_again.json["task_id"]) == (201, 2)
    assert shown.status == watched.status == 200
    assert shown.json == watched.json
    assert {
        name: shown.json[name]
        for name in ("id", "user_id", "task_type", "status", "result_file", "error_message")
    } == {
        "id": 1,
        "user_id": 1,
        "task_type": "IMAGE_RESIZE",
        "status": "PENDING",
        "result_file": None,
        "error_message": None,
    }


def test_the_calls_without_a_curl_work_as_the_readme_shows_them(original: ServedApi) -> None:
    with httpx.Client(base_url=original.url) as client:
        johndoe = {"username": "johndoe", "password": "securepass123"}
        registered = client.post("/auth/register", json=johndoe).json()
        login = client.post("/auth/login", json=johndoe).json()
        refreshed = client.post("/auth/refresh", json={"refresh_token": login["refresh_token"]})
        headers = {"Authorization": f"Bearer {refreshed.json()['access_token']}"}
        task = client.post("/api/v1/tasks", json={"task_type": "IMAGE_RESIZE"}, headers=headers)
        listed = client.get(f"/api/v1/users/{registered['user_id']}/tasks", headers=headers)
        foreign_task = client.get("/api/v1/tasks/1", headers=headers)
        foreign_list = client.get("/api/v1/users/1/tasks", headers=headers)

    assert refreshed.status_code == 200
    assert list(refreshed.json()) == ["access_token", "refresh_token", "expires_in"]
    shown = listed.json()["tasks"]
    assert [each["id"] for each in shown] == [task.json()["task_id"]]
    assert {"id", "user_id", "task_type", "status", "created_at"} <= shown[0].keys()
    assert foreign_task.status_code == foreign_list.status_code == 403


def test_over_the_limit_the_answer_has_the_originals_words(original: ServedApi) -> None:
    with httpx.Client(base_url=original.url) as client:
        user = {"username": "hurried", "password": "password123"}
        client.post("/auth/register", json=user)
        token = client.post("/auth/login", json=user).json()["access_token"]
        headers = {"Authorization": f"Bearer {token}"}
        answers = [client.get("/api/v1/task-types", headers=headers) for _ in range(60)]

    refused = [each for each in answers if each.status_code == 429]
    # Moderate, the default: 20 at once, then 10 a second.
    assert [each.status_code for each in answers[:20]] == [200] * 20
    assert refused
    assert {each.json()["error"] for each in refused} == {"Rate limit exceeded"}
    assert all(int(each.headers["retry-after"]) >= 1 for each in refused)
