"""Clients of the API: the application behind a client, users who have logged in, their tasks.

Before: fixtures give the settings of real stores.
After: tests say what clients do.
"""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import httpx
from asgi_lifespan import LifespanManager
from starlette.types import Receive, Scope, Send

from orchestrator_api.app import create_app
from orchestrator_api.settings import ApiSettings, ProcessSettings
from orchestrator_core.postgres.worker_store import TaskType

JWT_SECRET = "a secret of at least thirty-two bytes"
PASSWORD = "password123"
NO_LIMITS = json.dumps(
    {
        "users": {"capacity": 1_000_000, "refill_per_minute": 60_000_000},
        "auth": {"capacity": 1_000_000, "refill_per_minute": 60_000_000},
    }
)
"""As good as none: a test that is about limits sets its own."""
LIFESPAN_SECONDS = 30.0
"""As long as Kubernetes gives a pod to stop; what it needs is the sum of deadlines of its own."""

PATIENCE_SECONDS = 30.0
"""For an account, from stores that are there."""

RESIZE_SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "width": {"type": "integer", "minimum": 1, "maximum": 8000},
        "format": {"enum": ["jpeg", "png", "webp"]},
        "note": {"type": "string"},
        "numbers": {"type": "array", "items": {"type": "number"}},
    },
}


@dataclass(frozen=True)
class User:
    """An account that has logged in."""

    id: int
    name: str
    access_token: str
    refresh_token: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.access_token}"}


def api_settings(**values: object) -> ApiSettings:
    """The defaults, but with a cheap password hash, which is no promise here, and no limits."""
    given = {
        "JWT_SECRET": JWT_SECRET,
        "ORCHESTRATOR_API_BCRYPT_ROUNDS": 4,
        "ORCHESTRATOR_API_RATE_LIMITS": NO_LIMITS,
        "ORCHESTRATOR_API_METRICS_PORT": 0,
        **values,
    }
    return ApiSettings.model_validate(given)


@asynccontextmanager
async def serving(settings: ProcessSettings) -> AsyncIterator[httpx.AsyncClient]:
    """Run the application and hand out a client of it."""
    app = create_app(settings)

    async def with_state_of_its_own(scope: Scope, receive: Receive, send: Send) -> None:
        # uvicorn copies the lifespan's state for each request; the manager shares it among all.
        if scope["type"] == "http":
            scope["state"] = dict(scope["state"])
        await app(scope, receive, send)

    manager = LifespanManager(
        with_state_of_its_own, startup_timeout=LIFESPAN_SECONDS, shutdown_timeout=LIFESPAN_SECONDS
    )
    async with manager as running:
        transport = httpx.ASGITransport(app=running.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
            yield client


def a_task_type(name: str, schema: Mapping[str, object]) -> TaskType:
    return TaskType(
        name=name, payload_schema=json.dumps(schema), timeout_seconds=60, max_attempts=5
    )


async def a_user(client: httpx.AsyncClient, name: str | None = None) -> User:
    name = name or f"user-{uuid.uuid4().hex[:12]}"
    credentials = {"username": name, "password": PASSWORD}
    registered = await _post_patiently(client, "/auth/register", credentials)
    tokens = (await _post_patiently(client, "/auth/login", credentials)).json()
    return User(registered.json()["user_id"], name, tokens["access_token"], tokens["refresh_token"])


async def _post_patiently(client: httpx.AsyncClient, path: str, body: object) -> httpx.Response:
    """Do as 503 says: on a machine that does other things a first connection may take too long."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            answer = await client.post(path, json=body)
            if answer.status_code != HTTPStatus.SERVICE_UNAVAILABLE:
                return answer
            await asyncio.sleep(float(answer.headers["Retry-After"]))


async def a_task(client: httpx.AsyncClient, user: User, **wish: object) -> int:
    answer = await client.post(
        "/api/v1/tasks", json={"task_type": "IMAGE_RESIZE", **wish}, headers=user.headers
    )
    assert answer.status_code == 201, answer.text
    return int(answer.json()["task_id"])


async def read_task(client: httpx.AsyncClient, user: User, task_id: int) -> dict[str, Any]:
    answer = await client.get(f"/api/v1/tasks/{task_id}", headers=user.headers)
    found: dict[str, Any] = answer.json()
    return found


async def list_task_ids(client: httpx.AsyncClient, user: User) -> list[int]:
    answer = await client.get(f"/api/v1/users/{user.id}/tasks", headers=user.headers)
    return [task["id"] for task in answer.json()["tasks"]]
