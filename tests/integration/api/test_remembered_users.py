"""Users from Redis: as true as the row, one round trip, and never a password's hash."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

import httpx
import pytest
from pydantic import TypeAdapter
from redis.asyncio import Redis

from api_clients import JWT_SECRET, User, serving
from background import background
from orchestrator_api.accounts.remembering import RememberedUsers
from orchestrator_api.settings import ProcessSettings
from orchestrator_core.accounts import Profile
from orchestrator_core.postgres.account_store import AccountStore
from orchestrator_core.postgres.database import Database
from orchestrator_core.redis.cache import Cache
from orchestrator_core.redis.connections import RedisConnection
from orchestrator_core.settings import RedisSettings
from orchestrator_core.tasks import UserId
from services import free_port
from worker_bench import until

PROFILE = TypeAdapter(Profile)
ME = "/api/v1/users/me"


class RecordingStore(AccountStore):
    """Says which users were read from Postgres."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.found: list[UserId] = []

    async def find_profile(self, user_id: UserId) -> Profile | None:
        self.found.append(user_id)
        return await super().find_profile(user_id)


@pytest.fixture
def store(database: Database) -> RecordingStore:
    return RecordingStore(database)


async def read_entry(redis: RedisConnection, user: User) -> bytes | None:
    entry = await redis.run("look", lambda client: client.get(f"cache:user:1:{user.id}"))
    assert entry is None or isinstance(entry, bytes)
    return entry


async def await_entry(redis: RedisConnection, user: User) -> None:
    """Return once the entry is there: it is written in the background."""

    async def is_there() -> bool:
        return await read_entry(redis, user) is not None

    await until(is_there)


async def test_a_user_is_read_from_postgres_once_and_then_as_he_was(
    store: RecordingStore, cache: Cache, user: User
) -> None:
    users = RememberedUsers(store, cache)
    async with background(users.memory):
        first = await users.read(UserId(user.id))
        await users.memory.drain()

        again = await users.read(UserId(user.id))

    assert store.found == [user.id]
    assert again == first


async def test_a_remembered_user_is_shown_without_asking_postgres_for_him(
    client: httpx.AsyncClient, redis: RedisConnection, database: Database, user: User
) -> None:
    from_postgres = await client.get(ME, headers=user.headers)
    await await_entry(redis, user)
    async with database.answering("hide the table") as connection:
        await connection.execute("ALTER TABLE users RENAME TO hidden")

    from_redis = await client.get(ME, headers=user.headers)

    assert (from_redis.status_code, from_redis.json()) == (200, from_postgres.json())


async def test_no_hash_of_a_password_ever_reaches_redis(
    client: httpx.AsyncClient, redis: RedisConnection, user: User
) -> None:
    await client.get(ME, headers=user.headers)
    await await_entry(redis, user)

    entry = await read_entry(redis, user)

    assert entry is not None
    assert b"$2b$" not in entry
    assert b"password" not in entry


async def test_who_has_logged_out_is_not_shown_whatever_is_remembered(
    client: httpx.AsyncClient, redis: RedisConnection, user: User
) -> None:
    await client.get(ME, headers=user.headers)
    await await_entry(redis, user)
    await client.post("/auth/logout", headers=user.headers)

    assert (await client.get(ME, headers=user.headers)).status_code == 401


Poison = Callable[[Cache, Redis, Profile], Awaitable[None]]


async def put_sealed(cache: Cache, user_id: int, text: bytes) -> None:
    await cache.put_many({f"user:1:{user_id}": text}, ttl_seconds=60)


async def unsealed(_: Cache, redis: Redis, profile: Profile) -> None:
    forged = replace(profile, username="forged")
    await redis.set(f"cache:user:1:{profile.id}", PROFILE.dump_json(forged))


async def sealed_with_another_secret(_: Cache, redis: Redis, profile: Profile) -> None:
    forged = PROFILE.dump_json(replace(profile, username="forged"))
    guessed = Cache(RedisConnection(redis, timeout_seconds=5), secret=b"guessed")
    await put_sealed(guessed, profile.id, forged)


async def moved_from_another_user(cache: Cache, redis: Redis, profile: Profile) -> None:
    other = replace(profile, id=UserId(profile.id + 1), username="other")
    await put_sealed(cache, other.id, PROFILE.dump_json(other))
    entry = await redis.get(f"cache:user:1:{other.id}")
    assert isinstance(entry, bytes)
    await redis.set(f"cache:user:1:{profile.id}", entry)


async def of_another_user(cache: Cache, _: Redis, profile: Profile) -> None:
    other = replace(profile, id=UserId(profile.id + 1), username="other")
    await put_sealed(cache, profile.id, PROFILE.dump_json(other))


async def of_another_release(cache: Cache, _: Redis, profile: Profile) -> None:
    text = PROFILE.dump_json(profile).replace(b'"username"', b'"login"')
    await put_sealed(cache, profile.id, text)


async def garbage(cache: Cache, _: Redis, profile: Profile) -> None:
    await put_sealed(cache, profile.id, b"\xff not JSON")


@pytest.mark.parametrize(
    "poison",
    [
        unsealed,
        sealed_with_another_secret,
        moved_from_another_user,
        of_another_user,
        of_another_release,
        garbage,
    ],
    ids=lambda poison: poison.__name__,
)
async def test_a_poisoned_entry_is_passed_over_and_replaced(
    client: httpx.AsyncClient,
    redis: RedisConnection,
    store: RecordingStore,
    user: User,
    poison: Poison,
) -> None:
    cache = Cache(redis, secret=JWT_SECRET.encode())
    profile = await store.find_profile(UserId(user.id))
    assert profile is not None
    await redis.run("poison", lambda raw: poison(cache, raw, profile))
    poisoned = await read_entry(redis, user)

    answer = await client.get(ME, headers=user.headers)

    assert (answer.json()["id"], answer.json()["username"]) == (user.id, user.name)

    async def is_replaced() -> bool:
        return await read_entry(redis, user) != poisoned

    await until(is_replaced)


async def test_without_redis_users_come_from_postgres(
    process_settings: ProcessSettings, user: User
) -> None:
    nowhere = RedisSettings(REDIS_HOST="127.0.0.1", REDIS_PORT=free_port())
    async with serving(replace(process_settings, redis=nowhere)) as client:
        answers = [await client.get(ME, headers=user.headers) for _ in range(3)]

    assert [answer.json()["username"] for answer in answers] == [user.name] * 3
