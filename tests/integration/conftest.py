"""Fixtures of the integration tests: real services, one clean database and vhost a test.

Before: ``services`` starts the servers once per test run.
After: tests get settings of the core, as the processes themselves read them.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

import services
from orchestrator_core.postgres.database import Database
from orchestrator_core.redis.connections import RedisConnection
from orchestrator_core.settings import AmqpSettings, PostgresSettings, RedisSettings, S3Settings
from own_stores import (
    create_database,
    drop_database,
    make_template,
    own_bucket,
    own_vhost,
    settings_of,
)


@pytest.fixture(scope="session")
def postgres_service() -> Iterator[services.Service]:
    with services.postgres() as service:
        asyncio.run(make_template(service.port))
        yield service


@pytest.fixture(scope="session")
def redis_service() -> Iterator[services.Service]:
    with services.redis() as service:
        yield service


@pytest.fixture(scope="session")
def rabbitmq_service() -> Iterator[services.Service]:
    with services.rabbitmq() as service:
        services.await_broker(service)
        yield service


@pytest.fixture(scope="session")
def s3_service() -> Iterator[services.Service]:
    with services.s3() as service:
        yield service


@pytest.fixture
def s3_settings(s3_service: services.Service) -> S3Settings:
    """A bucket of this test's own."""
    return own_bucket(s3_service)


@pytest.fixture
async def postgres_settings(postgres_service: services.Service) -> AsyncIterator[PostgresSettings]:
    """A database of this test's own with the whole schema; gone afterwards."""
    name = await create_database(postgres_service.port)
    yield settings_of(postgres_service.port, name)
    await drop_database(postgres_service.port, name)


@pytest.fixture
async def database(postgres_settings: PostgresSettings) -> AsyncIterator[Database]:
    async with Database.open(postgres_settings, application="test", max_connections=8) as opened:
        yield opened


@pytest.fixture
async def redis_settings(redis_service: services.Service) -> RedisSettings:
    """An empty Redis: ids begin again in each test's database, and so must what hangs on them."""
    settings = RedisSettings(
        REDIS_HOST="127.0.0.1",
        REDIS_PORT=redis_service.port,
        # A busy machine is no absent Redis: tests of absence set a deadline of their own.
        timeout_seconds=2.0,
    )
    async with RedisConnection.open(settings) as connection:
        await connection.run("flush", lambda client: client.flushall())
    return settings


@pytest.fixture
async def redis(redis_settings: RedisSettings) -> AsyncIterator[RedisConnection]:
    async with RedisConnection.open(redis_settings) as opened:
        yield opened


@pytest.fixture
def amqp_settings(rabbitmq_service: services.Service) -> Iterator[AmqpSettings]:
    """A virtual host of this test's own; gone afterwards."""
    with own_vhost(rabbitmq_service) as settings:
        yield settings
