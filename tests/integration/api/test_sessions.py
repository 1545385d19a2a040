"""Logins and their end: at once where it was asked for, within 2 s everywhere else."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace

import httpx
import jwt
import pytest

import services
from api_clients import JWT_SECRET, PASSWORD, User, a_user, api_settings, serving
from orchestrator_api.settings import ProcessSettings
from orchestrator_core.accounts import AuthEvent
from orchestrator_core.postgres.database import Database
from orchestrator_core.settings import PostgresSettings

NEW_PASSWORD = "another password"


@pytest.fixture
async def elsewhere(process_settings: ProcessSettings) -> AsyncIterator[httpx.AsyncClient]:
    """A second process of the API over the same database."""
    async with serving(process_settings) as client:
        yield client


async def log_in(client: httpx.AsyncClient, user: User, password: str = PASSWORD) -> User:
    answer = await client.post("/auth/login", json={"username": user.name, "password": password})
    assert answer.status_code == 200, answer.text
    return with_tokens(user, answer)


def with_tokens(user: User, answer: httpx.Response) -> User:
    tokens = answer.json()
    return replace(user, access_token=tokens["access_token"], refresh_token=tokens["refresh_token"])


async def log_out(client: httpx.AsyncClient, user: User) -> httpx.Response:
    return await client.post("/auth/logout", headers=user.headers)


async def change_password(
    client: httpx.AsyncClient, user: User, current: str = PASSWORD, new: str = NEW_PASSWORD
) -> httpx.Response:
    wish = {"current_password": current, "new_password": new}
    return await client.post("/auth/password", json=wish, headers=user.headers)


async def refresh(client: httpx.AsyncClient, user: User) -> httpx.Response:
    return await client.post("/auth/refresh", json={"refresh_token": user.refresh_token})


async def call(client: httpx.AsyncClient, user: User) -> int:
    return (await client.get("/api/v1/users/me", headers=user.headers)).status_code


async def seconds_until_refused(client: httpx.AsyncClient, user: User) -> float:
    began = time.monotonic()
    while await call(client, user) != 401:
        pass
    return time.monotonic() - began


async def test_the_caller_sees_himself_and_no_secret(client: httpx.AsyncClient) -> None:
    user = await a_user(client, "Me-Myself")

    answer = await client.get("/api/v1/users/me", headers=user.headers)

    assert answer.status_code == 200
    assert set(answer.json()) == {"id", "username", "created_at"}
    assert (answer.json()["id"], answer.json()["username"]) == (user.id, "Me-Myself")


async def test_an_access_token_names_its_login_and_its_user(
    client: httpx.AsyncClient, database: Database
) -> None:
    user = await a_user(client, "Ada.L")
    refreshed = with_tokens(user, await refresh(client, user))
    async with database.answering("look") as connection:
        family = await connection.fetchval(
            "SELECT id FROM token_families WHERE user_id = $1", user.id
        )

    claims = [
        jwt.decode(each.access_token, options={"verify_signature": False})
        for each in (user, refreshed)
    ]

    assert {each["sid"] for each in claims} == {family.hex}
    assert {each["name"] for each in claims} == {"ada.l"}


async def test_logout_ends_this_login_at_once_and_no_other(
    client: httpx.AsyncClient, user: User
) -> None:
    other = await log_in(client, user)

    answer = await log_out(client, user)

    assert (answer.status_code, answer.content) == (204, b"")
    assert await call(client, user) == 401
    assert (await refresh(client, user)).status_code == 401
    assert await call(client, other) == 200
    assert (await refresh(client, other)).status_code == 200


async def test_every_access_token_of_the_login_ends_with_it(
    client: httpx.AsyncClient, user: User
) -> None:
    refreshed = with_tokens(user, await refresh(client, user))

    await log_out(client, refreshed)

    assert await call(client, user) == 401
    assert await call(client, refreshed) == 401


async def test_a_second_logout_is_refused_like_any_call_of_an_ended_login(
    client: httpx.AsyncClient, user: User
) -> None:
    await log_out(client, user)

    answer = await log_out(client, user)

    assert answer.status_code == 401
    assert answer.json()["error"] == "Invalid or expired token"


async def test_logout_at_one_process_is_refused_by_another_within_two_seconds(
    client: httpx.AsyncClient, elsewhere: httpx.AsyncClient, user: User
) -> None:
    assert await call(elsewhere, user) == 200

    await log_out(client, user)

    assert await call(client, user) == 401
    assert await seconds_until_refused(elsewhere, user) < 2


async def test_a_password_change_at_one_process_ends_all_logins_at_another_within_two_seconds(
    client: httpx.AsyncClient, elsewhere: httpx.AsyncClient, user: User
) -> None:
    other = await log_in(elsewhere, user)

    changed = with_tokens(user, await change_password(client, user))

    assert [await call(client, each) for each in (user, other, changed)] == [401, 401, 200]
    waited = [await seconds_until_refused(elsewhere, each) for each in (user, other)]
    assert sum(waited) < 2
    assert await call(elsewhere, changed) == 200


async def test_a_revocation_that_nobody_announced_is_found_within_two_seconds(
    client: httpx.AsyncClient, user: User, database: Database
) -> None:
    async with database.answering("revoke by hand") as connection:
        await connection.execute("UPDATE token_families SET revoked_at = clock_timestamp()")

    assert await seconds_until_refused(client, user) < 2


async def test_a_process_that_starts_later_refuses_what_ended_before(
    client: httpx.AsyncClient, user: User, process_settings: ProcessSettings
) -> None:
    await log_out(client, user)

    async with serving(process_settings) as started_later:
        assert await call(started_later, user) == 401


async def test_a_process_that_has_never_reached_postgres_lets_nobody_in_and_says_when_to_come_back(
    user: User, process_settings: ProcessSettings
) -> None:
    nowhere = PostgresSettings(DB_HOST="127.0.0.1", DB_PORT=services.free_port())
    began = time.monotonic()

    async with serving(replace(process_settings, postgres=nowhere)) as client:
        answer = await client.get("/api/v1/users/me", headers=user.headers)
        forged = await client.get("/api/v1/users/me", headers={"Authorization": "Bearer x"})

    assert (answer.status_code, forged.status_code) == (503, 401)
    assert int(answer.headers["retry-after"]) > 0
    assert time.monotonic() - began < 5


async def test_reuse_of_a_refresh_token_ends_the_access_tokens_of_its_login_too(
    client: httpx.AsyncClient, user: User
) -> None:
    second = with_tokens(user, await refresh(client, user))
    third = with_tokens(user, await refresh(client, second))

    reused = await refresh(client, user)

    assert reused.status_code == 401
    assert [await call(client, each) for each in (user, second, third)] == [401] * 3


async def test_a_changed_password_is_the_only_one_and_its_tokens_are_the_only_ones(
    client: httpx.AsyncClient, user: User
) -> None:
    other = await log_in(client, user)

    answer = await change_password(client, user)

    changed = with_tokens(user, answer)
    credentials = {"username": user.name, "password": PASSWORD}
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert (await client.post("/auth/login", json=credentials)).status_code == 401
    assert [await call(client, each) for each in (user, other, changed)] == [401, 401, 200]
    assert [(await refresh(client, each)).status_code for each in (user, other, changed)] == [
        401,
        401,
        200,
    ]
    await log_in(client, user, NEW_PASSWORD)


async def test_a_wrong_current_password_is_no_reason_to_log_in_again(
    client: httpx.AsyncClient, user: User
) -> None:
    answer = await change_password(client, user, current="not-" + PASSWORD)

    assert answer.status_code == 403
    assert answer.json()["error"] == "The current password is wrong"
    assert answer.json()["type"] == "urn:orchestrator:problem:wrong_password"
    assert "www-authenticate" not in answer.headers
    assert await call(client, user) == 200
    await log_in(client, user)


@pytest.mark.parametrize("password", ["seven77", "", "x" * 1_025])
async def test_a_bad_new_password_is_refused_by_its_field_and_changes_nothing(
    client: httpx.AsyncClient, user: User, password: str
) -> None:
    answer = await change_password(client, user, new=password)

    assert answer.status_code == 422
    assert [fault["field"] for fault in answer.json()["errors"]] == ["new_password"]
    assert await call(client, user) == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/auth/logout"), ("POST", "/auth/password"), ("GET", "/api/v1/users/me")],
)
async def test_without_a_token_nothing_of_a_login_can_be_done(
    client: httpx.AsyncClient, method: str, path: str
) -> None:
    answer = await client.request(method, path)

    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_the_strict_policy_holds_for_new_accounts_and_new_passwords(
    process_settings: ProcessSettings,
) -> None:
    strict = replace(process_settings, api=api_settings(ORCHESTRATOR_API_PASSWORD_POLICY="strict"))
    good = {"username": "johndoe", "password": "a river of green glass"}
    async with serving(strict) as client:
        answers = [
            await client.post("/auth/register", json={**good, "password": password})
            for password in (PASSWORD, "123456789987654321", "johndoe is my name")
        ]
        await client.post("/auth/register", json=good)
        tokens = (await client.post("/auth/login", json=good)).json()
        user = User(0, "johndoe", tokens["access_token"], tokens["refresh_token"])
        changed = await change_password(
            client, user, current=good["password"], new="JOHNDOE and then some"
        )

    assert [answer.status_code for answer in answers] == [422] * 3
    assert changed.json()["errors"] == [
        {"field": "new_password", "message": "must not contain the username"}
    ]


async def test_tokens_of_the_previous_secret_are_good_until_it_is_taken_away(
    client: httpx.AsyncClient, user: User, process_settings: ProcessSettings
) -> None:
    new_secret = "the next secret, also of thirty-two bytes"
    rotated = api_settings(JWT_SECRET=new_secret, JWT_PREVIOUS_SECRET=JWT_SECRET)
    finished = api_settings(JWT_SECRET=new_secret)

    async with serving(replace(process_settings, api=rotated)) as during:
        old_token_during = await call(during, user)
        refreshed = with_tokens(user, await refresh(during, user))
        new_token_during = await call(during, refreshed)
    async with serving(replace(process_settings, api=finished)) as after:
        old_token_after = await call(after, user)
        new_token_after = await call(after, refreshed)

    assert (old_token_during, new_token_during) == (200, 200)
    assert (old_token_after, new_token_after) == (401, 200)
    assert await call(client, refreshed) == 401


async def test_what_happens_to_an_account_is_told_in_order_and_without_a_secret(
    client: httpx.AsyncClient, database: Database, capfd: pytest.CaptureFixture[str]
) -> None:
    user = await a_user(client)
    refreshed = with_tokens(user, await refresh(client, user))
    changed = with_tokens(user, await change_password(client, refreshed))
    await log_out(client, changed)

    async with database.answering("look") as connection:
        rows = await connection.fetch("SELECT kind, e::text FROM auth_events e ORDER BY id")
    printed = "".join(capfd.readouterr())

    assert [row["kind"] for row in rows] == [
        AuthEvent.REGISTERED,
        AuthEvent.LOGGED_IN,
        AuthEvent.REFRESHED,
        AuthEvent.PASSWORD_CHANGED,
        AuthEvent.LOGGED_OUT,
    ]
    told = printed + " ".join(row["e"] for row in rows)
    secrets = [PASSWORD, NEW_PASSWORD]
    for each in (user, refreshed, changed):
        secrets += [each.access_token, each.refresh_token, each.access_token.split(".")[2]]
    assert [secret for secret in secrets if secret in told] == []
    assert "password changed" in printed


async def test_logins_by_the_hundred_keep_nobody_else_waiting(
    process_settings: ProcessSettings,
) -> None:
    # 8 rounds take 15 ms or so: those that are let in keep both threads busy for a while, and
    # even on a machine that is ten times slower each has its turn before its deadline.
    slow = replace(process_settings, api=api_settings(ORCHESTRATOR_API_BCRYPT_ROUNDS=8))
    answered = 0
    async with serving(slow) as client:
        user = await a_user(client)
        credentials = {"username": user.name, "password": "not-" + PASSWORD}

        async with asyncio.TaskGroup() as group:
            logins = [
                group.create_task(client.post("/auth/login", json=credentials)) for _ in range(100)
            ]
            while not all(login.done() for login in logins):
                assert await call(client, user) == 200
                answered += 1

    statuses = [login.result().status_code for login in logins]
    assert statuses.count(401) + statuses.count(503) == 100
    assert statuses.count(401) >= 16
    # Hashed in the loop itself, they would all be done before the first of these was answered.
    assert answered > 10
