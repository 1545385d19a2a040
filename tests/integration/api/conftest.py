"""The API as clients see it, over real Postgres, RabbitMQ and Redis.

Before: the fixtures above have made a clean database and virtual host.
After: tests talk to the application through HTTP; nothing is faked but the socket.
"""

from collections.abc import AsyncIterator

import httpx
import pytest

from api_clients import JWT_SECRET, RESIZE_SCHEMA, User, a_task_type, a_user, api_settings, serving
from orchestrator_api.settings import ProcessSettings
from orchestrator_core.postgres.database import Database
from orchestrator_core.postgres.worker_store import WorkerStore
from orchestrator_core.redis.cache import Cache
from orchestrator_core.redis.connections import RedisConnection
from orchestrator_core.settings import AmqpSettings, PostgresSettings, RedisSettings


@pytest.fixture
def process_settings(
    postgres_settings: PostgresSettings,
    redis_settings: RedisSettings,
    amqp_settings: AmqpSettings,
) -> ProcessSettings:
    return ProcessSettings(
        api=api_settings(), postgres=postgres_settings, redis=redis_settings, amqp=amqp_settings
    )


@pytest.fixture
async def client(process_settings: ProcessSettings) -> AsyncIterator[httpx.AsyncClient]:
    async with serving(process_settings) as client:
        yield client


@pytest.fixture
def cache(redis: RedisConnection) -> Cache:
    return Cache(redis, secret=JWT_SECRET.encode())


@pytest.fixture(autouse=True)
async def task_types(database: Database) -> None:
    """What workers would have published."""
    await WorkerStore(database).publish_types(
        [
            a_task_type("IMAGE_RESIZE", RESIZE_SCHEMA),
            *(
                a_task_type(name, {"type": "object"})
                for name in ("VIDEO_PROCESS", "DATA_EXPORT", "REPORT_GENERATE", "send_email")
            ),
        ]
    )


@pytest.fixture
async def user(client: httpx.AsyncClient) -> User:
    return await a_user(client)


@pytest.fixture
async def stranger(client: httpx.AsyncClient) -> User:
    return await a_user(client)
