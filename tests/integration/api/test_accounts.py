"""Accounts and logins, over real Postgres."""

import asyncio
from dataclasses import replace

import httpx
import pytest

from api_clients import PASSWORD, User, a_user, api_settings, serving
from orchestrator_api.settings import ProcessSettings
from orchestrator_core.postgres.database import Database


async def refresh(client: httpx.AsyncClient, token: str) -> httpx.Response:
    return await client.post("/auth/refresh", json={"refresh_token": token})


async def age_rotation(database: Database, user: User, *, seconds: int) -> None:
    """Move the clock on: the last rotation of the user's logins was ``seconds`` ago."""
    async with database.answering("age") as connection:
        await connection.execute(
            "UPDATE token_families SET rotated_at = now() - make_interval(secs => $2)"
            " WHERE user_id = $1",
            user.id,
            seconds,
        )


async def test_a_name_is_taken_whatever_its_case(client: httpx.AsyncClient) -> None:
    await a_user(client, "Alice.B")

    answer = await client.post("/auth/register", json={"username": "aLICE.b", "password": PASSWORD})

    assert answer.status_code == 409
    assert answer.json()["error"] == "Username already exists"


async def test_of_two_that_want_one_name_at_once_one_gets_it(client: httpx.AsyncClient) -> None:
    wish = {"username": "contended", "password": PASSWORD}

    answers = await asyncio.gather(*(client.post("/auth/register", json=wish) for _ in range(5)))

    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409, 409]


async def test_a_name_logs_in_whatever_its_case(client: httpx.AsyncClient) -> None:
    await a_user(client, "Bob-1")

    answer = await client.post("/auth/login", json={"username": "BOB-1", "password": PASSWORD})

    assert answer.status_code == 200


@pytest.mark.parametrize(
    "username",
    [
        "ab",
        "x" * 65,
        "",
        "with space",
        "sl/ash",
        "ünicode",
        "line\nend",
        "end\n",
        "a@b.c",
        "null\x00",
    ],
)
async def test_a_bad_name_is_refused_by_its_field(client: httpx.AsyncClient, username: str) -> None:
    answer = await client.post("/auth/register", json={"username": username, "password": PASSWORD})

    assert answer.status_code == 422
    assert [fault["field"] for fault in answer.json()["errors"]] == ["username"]


@pytest.mark.parametrize("password", ["", "short", "seven77", "x" * 1_025])
async def test_a_bad_password_is_refused_by_its_field_and_never_repeated(
    client: httpx.AsyncClient, password: str
) -> None:
    answer = await client.post("/auth/register", json={"username": "carol", "password": password})

    assert answer.status_code == 422
    assert [fault["field"] for fault in answer.json()["errors"]] == ["password"]
    assert not password or password not in answer.text


async def test_a_longer_minimum_is_a_setting(process_settings: ProcessSettings) -> None:
    strict = replace(process_settings, api=api_settings(ORCHESTRATOR_API_PASSWORD_MIN_LENGTH=15))
    async with serving(strict) as client:
        answer = await client.post(
            "/auth/register", json={"username": "dave", "password": "password123"}
        )

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["message"] == "must have at least 15 characters"


@pytest.mark.parametrize("password", ["x" * 73, "🐘" * 64, "pässwörd mit Leerzeichen", "x" * 1_024])
async def test_any_password_of_fair_length_logs_in(
    client: httpx.AsyncClient, password: str
) -> None:
    credentials = {"username": "erin", "password": password}
    await client.post("/auth/register", json=credentials)

    right = await client.post("/auth/login", json=credentials)
    wrong = await client.post("/auth/login", json={**credentials, "password": password[:-1]})

    assert (right.status_code, wrong.status_code) == (200, 401)


async def test_a_wrong_name_and_a_wrong_password_get_the_very_same_answer(
    client: httpx.AsyncClient, user: User
) -> None:
    wrong_password = await client.post(
        "/auth/login", json={"username": user.name, "password": "not-" + PASSWORD}
    )
    wrong_name = await client.post(
        "/auth/login", json={"username": "nobody", "password": "not-" + PASSWORD}
    )

    assert (wrong_password.status_code, wrong_name.status_code) == (401, 401)
    same = [
        {k: v for k, v in answer.json().items() if k != "trace_id"}
        for answer in (wrong_password, wrong_name)
    ]
    assert same[0] == same[1]
    assert same[0]["error"] == "Invalid username or password"


async def test_only_hashes_of_secrets_reach_the_database(user: User, database: Database) -> None:
    async with database.answering("look") as connection:
        rows = [
            *await connection.fetch("SELECT users::text FROM users"),
            *await connection.fetch("SELECT refresh_tokens::text FROM refresh_tokens"),
        ]
    kept = " ".join(row[0] for row in rows)

    assert PASSWORD not in kept
    assert user.refresh_token not in kept
    assert user.refresh_token.encode().hex() not in kept


async def test_a_refresh_token_works_once_and_its_successor_after_it(
    client: httpx.AsyncClient, user: User
) -> None:
    first = await refresh(client, user.refresh_token)
    second = await refresh(client, first.json()["refresh_token"])

    assert (first.status_code, second.status_code) == (200, 200)
    headers = {"Authorization": f"Bearer {second.json()['access_token']}"}
    assert (await client.get("/api/v1/task-types", headers=headers)).status_code == 200


async def test_tabs_that_refresh_at_once_all_go_on(client: httpx.AsyncClient, user: User) -> None:
    answers = await asyncio.gather(*(refresh(client, user.refresh_token) for _ in range(4)))
    later = [await refresh(client, answer.json()["refresh_token"]) for answer in answers[:1]]

    assert [answer.status_code for answer in [*answers, *later]] == [200] * 5


async def test_reuse_after_the_grace_ends_the_whole_login(
    client: httpx.AsyncClient, user: User, database: Database
) -> None:
    successor = (await refresh(client, user.refresh_token)).json()["refresh_token"]
    await age_rotation(database, user, seconds=21)

    reused = await refresh(client, user.refresh_token)
    of_the_same_login = await refresh(client, successor)

    assert reused.status_code == 401
    assert reused.json()["error"] == "Invalid or expired refresh token"
    assert of_the_same_login.status_code == 401


async def test_an_older_generation_ends_the_login_even_within_the_grace(
    client: httpx.AsyncClient, user: User
) -> None:
    second = (await refresh(client, user.refresh_token)).json()["refresh_token"]
    third = (await refresh(client, second)).json()["refresh_token"]

    reused = await refresh(client, user.refresh_token)
    of_the_same_login = await refresh(client, third)

    assert (reused.status_code, of_the_same_login.status_code) == (401, 401)


async def test_the_end_of_one_login_leaves_the_users_others_alone(
    client: httpx.AsyncClient, user: User, database: Database
) -> None:
    await refresh(client, user.refresh_token)
    await age_rotation(database, user, seconds=21)
    other = await client.post("/auth/login", json={"username": user.name, "password": PASSWORD})

    await refresh(client, user.refresh_token)
    answer = await refresh(client, other.json()["refresh_token"])

    assert answer.status_code == 200


@pytest.mark.parametrize("token", ["", "x" * 43, "x" * 1_024])
async def test_an_unknown_refresh_token_is_refused(client: httpx.AsyncClient, token: str) -> None:
    assert (await refresh(client, token)).status_code == 401


async def test_an_access_token_is_no_refresh_token_and_the_other_way_round(
    client: httpx.AsyncClient, user: User
) -> None:
    refreshed = await refresh(client, user.access_token)
    headers = {"Authorization": f"Bearer {user.refresh_token}"}
    called = await client.get("/api/v1/task-types", headers=headers)

    assert (refreshed.status_code, called.status_code) == (401, 401)


async def test_tokens_are_kept_out_of_caches(client: httpx.AsyncClient, user: User) -> None:
    login = await client.post("/auth/login", json={"username": user.name, "password": PASSWORD})
    refreshed = await refresh(client, user.refresh_token)

    assert login.headers["cache-control"] == "no-store"
    assert refreshed.headers["cache-control"] == "no-store"


async def test_a_burst_of_logins_is_bounded_and_never_fails_otherwise(
    client: httpx.AsyncClient, user: User
) -> None:
    credentials = {"username": user.name, "password": PASSWORD}

    answers = await asyncio.gather(
        *(client.post("/auth/login", json=credentials) for _ in range(60))
    )

    assert {answer.status_code for answer in answers} <= {200, 503}
    assert sum(answer.status_code == 200 for answer in answers) >= 18
    refused = [answer for answer in answers if answer.status_code == 503]
    assert all(int(answer.headers["retry-after"]) > 0 for answer in refused)
