"""A database, a virtual host, a bucket and settings of a test's own, on servers that tests share.

Before: ``services`` runs the servers.
After: fixtures hand out settings; what they name is gone when the test is over.
"""

import asyncio
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
from pydantic import SecretStr
from redis import Redis

import services
from api_clients import api_settings
from orchestrator_api.settings import ProcessSettings
from orchestrator_core.handlers import discover_handlers
from orchestrator_core.postgres.database import Database
from orchestrator_core.postgres.worker_store import WorkerStore
from orchestrator_core.settings import AmqpSettings, PostgresSettings, RedisSettings, S3Settings
from orchestrator_worker.publishing import to_task_type

MIGRATIONS = Path(__file__).parents[2] / "migrations"


@contextmanager
def own_vhost(rabbitmq: services.Service) -> Iterator[AmqpSettings]:
    """An empty virtual host."""
    vhost = f"test-{uuid.uuid4().hex}"
    services.broker_api(rabbitmq, "PUT", f"vhosts/{vhost}")
    everything = {"configure": ".*", "write": ".*", "read": ".*"}
    services.broker_api(rabbitmq, "PUT", f"permissions/{vhost}/guest", everything)
    try:
        yield AmqpSettings(RABBITMQ_URL=f"amqp://guest:guest@127.0.0.1:{rabbitmq.port}/{vhost}")
    finally:
        services.broker_api(rabbitmq, "DELETE", f"vhosts/{vhost}")


def own_bucket(s3: services.Service) -> S3Settings:
    """An empty bucket, in a part of which the keys begin."""
    name = f"bucket-{uuid.uuid4().hex}"
    folder = s3.home / "data" / name
    folder.mkdir()
    shutil.chown(folder, services.S3_ACCOUNT)
    return bucket_at(s3.port, name)


def bucket_at(port: int, name: str) -> S3Settings:
    """A bucket as reached through a port of the loopback."""
    return S3Settings(
        RESULTS_S3_BUCKET=name,
        RESULTS_S3_ENDPOINT=f"http://127.0.0.1:{port}",
        RESULTS_S3_PREFIX="a/platform",
        RESULTS_S3_ACCESS_KEY_ID=services.S3_ACCESS_KEY,
        RESULTS_S3_SECRET_ACCESS_KEY=services.S3_SECRET_KEY,
    )


def objects_in(s3: services.Service, settings: S3Settings) -> set[str]:
    """Return the keys of a bucket's objects, as their server keeps them."""
    assert settings.bucket is not None
    folder = s3.home / "data" / settings.bucket / settings.prefix
    return {str(each.relative_to(folder)) for each in folder.rglob("*") if each.is_file()}


def s3_environment_of(settings: S3Settings) -> dict[str, str]:
    """Return the environment of a process with this bucket."""
    given = settings.model_dump(by_alias=True, exclude_none=True)
    return {
        name: value.get_secret_value() if isinstance(value, SecretStr) else str(value)
        for name, value in given.items()
    }


@contextmanager
def own_stores(
    postgres: services.Service, redis: services.Service, rabbitmq: services.Service
) -> Iterator[ProcessSettings]:
    """Settings of an API over stores of its own, with every installed task type published.

    For fixtures of a whole module, where no event loop runs.
    """
    name = asyncio.run(create_database(postgres.port))
    # What is cached of another database's task 1 has the same key and the same seal.
    with Redis(host="127.0.0.1", port=redis.port) as client:
        client.flushall()
    try:
        with own_vhost(rabbitmq) as amqp:
            settings = settings_of(postgres.port, name)
            asyncio.run(publish_installed_types(settings))
            yield ProcessSettings(
                api=api_settings(),
                postgres=settings,
                redis=RedisSettings(REDIS_HOST="127.0.0.1", REDIS_PORT=redis.port),
                amqp=amqp,
            )
    finally:
        asyncio.run(drop_database(postgres.port, name))


async def publish_installed_types(settings: PostgresSettings) -> None:
    """Do what the first worker does."""
    async with Database.open(settings, application="test", max_connections=1) as database:
        handlers = discover_handlers().values()
        await WorkerStore(database).publish_types([to_task_type(each) for each in handlers])


async def make_template(port: int) -> None:
    """Migrate once; each test's database is a copy, which takes a tenth of a second."""
    await await_postgres(port)
    await administer(port, "CREATE DATABASE migrated")
    connection = await asyncpg.connect(
        host="127.0.0.1", port=port, user="postgres", database="migrated"
    )
    try:
        for step in sorted(MIGRATIONS.glob("*.up.sql")):
            await connection.execute(step.read_text(encoding="utf-8"))
    finally:
        await connection.close()


async def await_postgres(port: int) -> None:
    """Wait until the server that listens already also lets us in."""
    async with asyncio.timeout(services.START_SECONDS):
        while True:
            try:
                await administer(port, "SELECT 1")
            except asyncpg.CannotConnectNowError:
                await asyncio.sleep(0.05)
            else:
                return


async def create_database(port: int) -> str:
    """Copy the migrated database; return the copy's name."""
    name = f"test_{uuid.uuid4().hex}"
    await administer(port, f"CREATE DATABASE {name} TEMPLATE migrated")
    return name


async def drop_database(port: int, name: str) -> None:
    await administer(port, f"DROP DATABASE {name} WITH (FORCE)")


def settings_of(port: int, name: str) -> PostgresSettings:
    return PostgresSettings(DB_HOST="127.0.0.1", DB_PORT=port, DB_USER="postgres", DB_NAME=name)


async def administer(port: int, statement: str) -> None:
    """Execute ``statement`` as the superuser, outside any test's database."""
    connection = await asyncpg.connect(
        host="127.0.0.1", port=port, user="postgres", database="postgres"
    )
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
