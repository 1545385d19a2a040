"""What the cache promises, against real Redis: its own entries or nothing."""

from collections.abc import Iterator

import pytest

from orchestrator_core.errors import StoreUnavailableError
from orchestrator_core.redis.cache import Cache
from orchestrator_core.redis.connections import RedisConnection
from orchestrator_core.settings import RedisSettings
from services import free_port

SECRET = b"a secret of the replicas"


@pytest.fixture
def cache(redis: RedisConnection) -> Cache:
    return Cache(redis, secret=SECRET)


async def read_raw(redis: RedisConnection, key: str) -> bytes:
    value = await redis.run("read", lambda client: client.get(key))
    assert isinstance(value, bytes)
    return value


async def read_ttl(redis: RedisConnection, name: str) -> int:
    return int(await redis.run("read", lambda client: client.ttl(f"cache:{name}")))


async def write_raw(redis: RedisConnection, key: str, value: bytes) -> None:
    await redis.run("write", lambda client: client.set(key, value))


async def test_what_one_replica_puts_another_one_gets_until_its_time_is_over(
    cache: Cache, redis: RedisConnection
) -> None:
    values = {"one": b"1", "empty": b"", "large": bytes(range(256)) * 1_000}

    await cache.put_many(values, ttl_seconds=60)

    other = Cache(redis, secret=SECRET)
    assert {name: await other.get(name) for name in values} == values
    assert await cache.get("never put") is None
    assert all([0 < await read_ttl(redis, name) <= 60 for name in values])


async def test_an_entry_without_the_seal_of_its_name_and_value_is_a_miss(
    cache: Cache, redis: RedisConnection
) -> None:
    await cache.put_many({"mine": b"value", "theirs": b"other"}, ttl_seconds=60)
    sealed = await read_raw(redis, "cache:theirs")

    poisons: Iterator[bytes] = iter(
        [
            b"",
            b"value",
            bytes(16) + b"value",
            sealed,
            sealed[:16] + b"value",
            sealed[:-1],
            sealed + b"!",
        ]
    )

    for poison in poisons:
        await write_raw(redis, "cache:mine", poison)
        assert await cache.get("mine") is None, poison


async def test_a_name_and_a_value_cannot_trade_bytes(cache: Cache, redis: RedisConnection) -> None:
    await cache.put_many({"ab": b"c"}, ttl_seconds=60)
    sealed = await read_raw(redis, "cache:ab")

    await write_raw(redis, "cache:a", sealed[:16] + b"bc")

    assert await cache.get("a") is None


async def test_entries_under_another_secret_are_misses(
    cache: Cache, redis: RedisConnection
) -> None:
    await Cache(redis, secret=b"an older secret").put_many({"name": b"value"}, ttl_seconds=60)

    assert await cache.get("name") is None


async def test_without_redis_both_ways_fail_for_the_caller_to_go_on() -> None:
    nowhere = RedisSettings(REDIS_HOST="127.0.0.1", REDIS_PORT=free_port())
    async with RedisConnection.open(nowhere) as redis:
        cache = Cache(redis, secret=SECRET)

        with pytest.raises(StoreUnavailableError):
            await cache.get("name")
        with pytest.raises(StoreUnavailableError):
            await cache.put_many({"name": b"value"}, ttl_seconds=60)
