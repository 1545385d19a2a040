"""What a connection to Redis promises while Redis answers, hangs, is gone and comes back."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator

import pytest

import services
from orchestrator_core.errors import StoreUnavailableError
from orchestrator_core.redis.connections import RedisConnection
from orchestrator_core.settings import RedisSettings

TIMEOUT_SECONDS = 0.25


@pytest.fixture
def own_redis() -> Iterator[services.Service]:
    """A Redis that this test may pause."""
    with services.redis() as service:
        yield service
        os.kill(service.process.pid, signal.SIGCONT)


@pytest.fixture
async def connection(own_redis: services.Service) -> AsyncIterator[RedisConnection]:
    settings = RedisSettings(
        REDIS_HOST="127.0.0.1", REDIS_PORT=own_redis.port, timeout_seconds=TIMEOUT_SECONDS
    )
    async with RedisConnection.open(settings) as opened:
        yield opened


def pause(service: services.Service) -> None:
    os.kill(service.process.pid, signal.SIGSTOP)


def resume(service: services.Service) -> None:
    os.kill(service.process.pid, signal.SIGCONT)


async def configure(service: services.Service, name: str, value: str) -> None:
    """Change a setting of the server through a connection that knows nothing of the others."""
    settings = RedisSettings(REDIS_HOST="127.0.0.1", REDIS_PORT=service.port)
    async with RedisConnection.open(settings) as other:
        await other.run("configure", lambda client: client.config_set(name, value))


async def until_it_answers(connection: RedisConnection) -> None:
    """Return once the breaker is closed; bounded by the time limit of a test."""
    while not connection.is_answering:  # noqa: ASYNC110 - nobody tells us; the product needs it not
        await asyncio.sleep(0.01)


async def test_a_command_gets_its_answer(connection: RedisConnection) -> None:
    await connection.run("write", lambda client: client.set("key", b"value"))

    answer = await connection.run("read", lambda client: client.get("key"))

    assert answer == b"value"


async def test_a_paused_redis_costs_one_deadline_and_then_nothing(
    connection: RedisConnection, own_redis: services.Service
) -> None:
    await connection.ping()
    pause(own_redis)
    started = time.monotonic()
    with pytest.raises(StoreUnavailableError):
        await connection.ping()
    first_seconds = time.monotonic() - started

    started = time.monotonic()
    for _ in range(1_000):
        with pytest.raises(StoreUnavailableError, match="not tried"):
            await connection.ping()
    others_seconds = time.monotonic() - started

    assert TIMEOUT_SECONDS <= first_seconds < 4 * TIMEOUT_SECONDS
    assert others_seconds < 4 * TIMEOUT_SECONDS
    assert not connection.is_answering


async def test_calls_under_way_together_pay_the_deadline_together(
    connection: RedisConnection, own_redis: services.Service
) -> None:
    pause(own_redis)
    started = time.monotonic()

    # More than there are connections: waiting for one counts too.
    calls = (connection.ping() for _ in range(100))
    answers = await asyncio.gather(*calls, return_exceptions=True)

    assert all(isinstance(answer, StoreUnavailableError) for answer in answers)
    # One after the other they would take 100 times as long; a busy machine takes a few times.
    assert time.monotonic() - started < 20 * TIMEOUT_SECONDS


async def test_a_redis_that_comes_back_is_used_again_although_nobody_asks(
    connection: RedisConnection, own_redis: services.Service
) -> None:
    pause(own_redis)
    with pytest.raises(StoreUnavailableError):
        await connection.ping()

    resume(own_redis)
    await until_it_answers(connection)

    await connection.ping()


async def test_answers_that_come_too_late_are_never_taken_for_those_of_later_commands(
    connection: RedisConnection, own_redis: services.Service
) -> None:
    await connection.run("write", lambda client: client.set("late", b"late"))
    pause(own_redis)
    with pytest.raises(StoreUnavailableError):
        await connection.run("read", lambda client: client.get("late"))
    resume(own_redis)
    await until_it_answers(connection)

    async def echo(text: bytes) -> object:
        return await connection.run("echo", lambda client: client.echo(text))

    texts = [str(number).encode() for number in range(50)]
    answers = await asyncio.gather(*map(echo, texts))

    assert answers == texts


async def test_a_redis_that_refuses_writes_counts_as_away_until_it_takes_them(
    connection: RedisConnection, own_redis: services.Service
) -> None:
    await configure(own_redis, "maxmemory", "1")
    with pytest.raises(StoreUnavailableError, match="maxmemory"):
        await connection.run("write", lambda client: client.set("key", b"value"))
    was_answering = connection.is_answering

    await configure(own_redis, "maxmemory", "0")
    await until_it_answers(connection)

    assert not was_answering
    await connection.run("write", lambda client: client.set("key", b"value"))


async def test_closing_while_redis_is_away_takes_no_time(own_redis: services.Service) -> None:
    settings = RedisSettings(REDIS_HOST="127.0.0.1", REDIS_PORT=own_redis.port)
    pause(own_redis)
    async with RedisConnection.open(settings) as connection:
        with pytest.raises(StoreUnavailableError):
            await connection.ping()
        started = time.monotonic()

    assert time.monotonic() - started < 4 * TIMEOUT_SECONDS
