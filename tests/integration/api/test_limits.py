"""Limits as clients meet them: what a 429 says, whose bucket it is, what holds without Redis."""

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace

import httpx
import pytest
from pydantic import SecretStr

import services
from api_clients import PASSWORD, User, a_task, a_user, api_settings, serving
from orchestrator_api.settings import ProcessSettings
from orchestrator_core.settings import RedisSettings

EDGE_KEY = "the key that the edge alone knows"
WIDE = {"capacity": 1_000_000, "refill_per_minute": 60_000_000}
THREE = {"capacity": 3, "refill_per_minute": 1}
"""Refills nothing while a test runs."""


def limited(settings: ProcessSettings, **values: object) -> ProcessSettings:
    """Return ``settings`` with the rules ``users``, ``auth`` and ``by_username`` of ``values``."""
    rules = {"users": WIDE, "auth": WIDE, **values}
    return replace(settings, api=api_settings(ORCHESTRATOR_API_RATE_LIMITS=json.dumps(rules)))


def behind_edge(settings: ProcessSettings) -> ProcessSettings:
    api = settings.api.model_copy(update={"edge_key": SecretStr(EDGE_KEY)})
    return replace(settings, api=api)


@pytest.fixture
def own_redis() -> Iterator[services.Service]:
    """A Redis that this test may pause."""
    with services.redis() as service:
        yield service
        os.kill(service.process.pid, signal.SIGCONT)


@asynccontextmanager
async def serving_with_metrics(
    settings: ProcessSettings, redis: services.Service
) -> AsyncIterator[tuple[httpx.AsyncClient, str]]:
    """Run the application on ``redis``; hand out a client and where its metrics are."""
    port = services.free_port()
    settings = replace(
        settings,
        api=settings.api.model_copy(update={"metrics_port": port}),
        redis=RedisSettings(REDIS_HOST="127.0.0.1", REDIS_PORT=redis.port),
    )
    async with serving(settings) as client:
        yield client, f"http://127.0.0.1:{port}/metrics"


async def log_in(client: httpx.AsyncClient, **headers: str) -> httpx.Response:
    credentials = {"username": "nobody", "password": PASSWORD}
    return await client.post("/auth/login", json=credentials, headers=headers)


async def read_metrics(url: str) -> str:
    async with httpx.AsyncClient() as client:
        return (await client.get(url)).text


async def until_metrics_say(url: str, line: str) -> None:
    """Read until they do; bounded by the time limit of a test."""
    while line not in (await read_metrics(url)).splitlines():  # noqa: ASYNC110 - a port to read
        await asyncio.sleep(0.02)


async def test_answers_say_how_much_is_left_whatever_they_are(
    process_settings: ProcessSettings,
) -> None:
    async with serving(limited(process_settings, users=THREE)) as client:
        user = await a_user(client)

        listed = await client.get(f"/api/v1/users/{user.id}/tasks", headers=user.headers)
        missing = await client.get("/api/v1/tasks/99", headers=user.headers)
        wish = {"task_type": "IMAGE_RESIZE"}
        created = await client.post("/api/v1/tasks", json=wish, headers=user.headers)

    assert listed.headers["ratelimit-policy"] == '"user";q=3;w=180'
    assert listed.headers["ratelimit"] == '"user";r=2;t=60'
    assert missing.status_code == 404
    assert missing.headers["ratelimit"] == '"user";r=1;t=120'
    assert created.status_code == 201
    assert created.headers["ratelimit"] == '"user";r=0;t=180'


async def test_a_refusal_says_what_it_is_and_when_to_come_back(
    process_settings: ProcessSettings,
) -> None:
    async with serving(limited(process_settings, users={"preset": "Moderate"})) as client:
        user = await a_user(client)

        answers = await asyncio.gather(
            *(client.get("/api/v1/task-types", headers=user.headers) for _ in range(60))
        )

    refused = [answer for answer in answers if answer.status_code == 429]
    assert {answer.status_code for answer in answers} == {200, 429}
    assert len(refused) >= 30
    assert refused[0].headers["content-type"] == "application/problem+json"
    assert refused[0].json()["error"] == "Rate limit exceeded"
    assert refused[0].headers["retry-after"] == "1"
    assert refused[0].headers["ratelimit-policy"] == '"user";q=20;w=2'
    assert refused[0].headers["ratelimit"] == '"user";r=0;t=1'


async def test_each_user_has_a_bucket_of_his_own(process_settings: ProcessSettings) -> None:
    async with serving(limited(process_settings, users=THREE)) as client:
        one, other = await a_user(client), await a_user(client)
        statuses = [
            (await client.get("/api/v1/task-types", headers=one.headers)).status_code
            for _ in range(4)
        ]

        answer = await client.get("/api/v1/task-types", headers=other.headers)

    assert statuses == [200, 200, 200, 429]
    assert answer.status_code == 200


async def test_all_replicas_share_the_buckets(process_settings: ProcessSettings) -> None:
    settings = limited(process_settings, users=THREE)
    async with serving(settings) as one, serving(settings) as other:
        user = await a_user(one)

        statuses = [
            (await client.get("/api/v1/task-types", headers=user.headers)).status_code
            for client in (one, other, one, other)
        ]

    assert statuses == [200, 200, 200, 429]


async def test_a_user_may_have_a_limit_of_his_own_whatever_the_case_of_his_name(
    process_settings: ProcessSettings,
) -> None:
    own = {"etl": {"capacity": 5, "refill_per_minute": 1}}
    async with serving(limited(process_settings, users=THREE, by_username=own)) as client:
        user = await a_user(client, "ETL")

        answers = [await client.get("/api/v1/task-types", headers=user.headers) for _ in range(6)]

    assert [answer.status_code for answer in answers] == [200] * 5 + [429]
    assert answers[0].headers["ratelimit-policy"] == '"user";q=5;w=300'


@pytest.mark.parametrize("path", ["register", "login", "refresh"])
async def test_auth_is_limited_by_address_before_anything_is_looked_at(
    process_settings: ProcessSettings, path: str
) -> None:
    async with serving(limited(process_settings, auth=THREE)) as client:
        answers = [await client.post(f"/auth/{path}", content=b"no json") for _ in range(4)]

    assert [answer.status_code for answer in answers] == [415, 415, 415, 429]
    assert answers[-1].json()["error"] == "Rate limit exceeded"
    assert answers[-1].headers["ratelimit-policy"] == '"address";q=3;w=180'


@pytest.mark.parametrize("key", [None, "", "a guess at the key of the edge"])
async def test_an_address_that_the_client_makes_up_gets_it_nothing(
    process_settings: ProcessSettings, key: str | None
) -> None:
    settings = behind_edge(limited(process_settings, auth=THREE))
    guess = {} if key is None else {"X-Edge-Key": key}
    async with serving(settings) as client:
        answers = [
            await log_in(client, **{"X-Forwarded-For": f"203.0.113.{number}"}, **guess)
            for number in range(50)
        ]

    assert [answer.status_code for answer in answers] == [401] * 3 + [429] * 47


async def test_an_address_that_the_edge_tells_has_a_bucket_of_its_own(
    process_settings: ProcessSettings,
) -> None:
    settings = behind_edge(limited(process_settings, auth=THREE))
    key = {"X-Edge-Key": EDGE_KEY}
    async with serving(settings) as client:
        one = [await log_in(client, **{"X-Forwarded-For": "203.0.113.1"}, **key) for _ in range(4)]
        other = await log_in(client, **{"X-Forwarded-For": "203.0.113.2"}, **key)
        neighbours = [
            await log_in(client, **{"X-Forwarded-For": f"2001:db8::{number}"}, **key)
            for number in range(1, 5)
        ]

    assert [answer.status_code for answer in one] == [401, 401, 401, 429]
    assert other.status_code == 401
    assert [answer.status_code for answer in neighbours] == [401, 401, 401, 429]


async def test_probes_and_documents_are_not_limited(process_settings: ProcessSettings) -> None:
    async with serving(limited(process_settings, users=THREE, auth=THREE)) as client:
        answers = [
            await client.get(path)
            for path in ("/livez", "/readyz", "/health", "/openapi.json")
            for _ in range(5)
        ]

    assert {answer.status_code for answer in answers} == {200}
    assert not any("ratelimit" in answer.headers for answer in answers)


async def test_a_paused_redis_costs_little_opens_nothing_closes_to_nobody_and_heals(
    process_settings: ProcessSettings, own_redis: services.Service
) -> None:
    settings = limited(process_settings, users=THREE)
    async with serving_with_metrics(settings, own_redis) as (client, metrics):
        users = [await a_user(client) for _ in range(3)]
        before = await read_metrics(metrics)
        os.kill(own_redis.process.pid, signal.SIGSTOP)

        taken = [await times_of(client, user, calls=10) for user in users]
        during = await read_metrics(metrics)
        os.kill(own_redis.process.pid, signal.SIGCONT)
        await until_metrics_say(metrics, "orchestrator_api_rate_limit_degraded 0.0")
        afterwards = await client.get("/api/v1/task-types", headers=users[0].headers)

    assert "orchestrator_api_rate_limit_degraded 0.0" in before.splitlines()
    assert "orchestrator_api_rate_limit_degraded 1.0" in during.splitlines()
    assert [statuses for statuses, _ in taken] == [[200] * 3 + [429] * 7] * 3
    # One deadline of a quarter of a second for all of them, and each call as fast as ever.
    assert max(seconds for _, seconds in taken) < 1.0
    # The bucket in Redis: what was allowed in memory has not been taken from it.
    assert afterwards.headers["ratelimit"].startswith('"user";r=')
    assert afterwards.status_code == 200
    counted = 'rate_limit_decisions_total{decision="refused",scope="user",source="memory"} 21.0'
    assert counted in during


async def times_of(client: httpx.AsyncClient, user: User, *, calls: int) -> tuple[list[int], float]:
    """Return the statuses of ``calls`` in a row and how long the slowest one took."""
    statuses, slowest_seconds = [], 0.0
    for _ in range(calls):
        started = time.monotonic()
        answer = await client.get("/api/v1/task-types", headers=user.headers)
        statuses.append(answer.status_code)
        slowest_seconds = max(slowest_seconds, time.monotonic() - started)
    return statuses, slowest_seconds


async def test_a_redis_that_is_gone_leaves_logins_limited_and_tasks_accepted(
    process_settings: ProcessSettings,
) -> None:
    nowhere = RedisSettings(REDIS_HOST="127.0.0.1", REDIS_PORT=services.free_port())
    settings = replace(limited(process_settings, auth=THREE), redis=nowhere)
    async with serving(settings) as client:
        task_id = await a_task(client, await a_user(client))
        statuses = [(await log_in(client)).status_code for _ in range(3)]

    assert task_id > 0
    assert statuses == [401, 429, 429]


async def test_while_redis_is_away_replicas_share_the_refill(
    process_settings: ProcessSettings,
) -> None:
    nowhere = RedisSettings(REDIS_HOST="127.0.0.1", REDIS_PORT=services.free_port())
    settings = limited(process_settings, users={"capacity": 1, "refill_per_minute": 60})
    api = settings.api.model_copy(update={"replicas": 30})
    async with serving(replace(settings, api=api, redis=nowhere)) as client:
        user = await a_user(client)
        await client.get("/api/v1/task-types", headers=user.headers)

        refused = await client.get("/api/v1/task-types", headers=user.headers)

    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) in (29, 30)
