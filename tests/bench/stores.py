"""The servers under both services, durable as in production, and what each service has in them.

Before: ``cli`` begins a measurement.
After: ``contenders`` start on databases and virtual hosts of their own; ``rounds`` count there.
"""

import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aio_pika
import asyncpg
from aio_pika.abc import AbstractChannel

import services
from orchestrator_core.topology import TASK_QUEUE
from tests.bench.wrk import BenchError

MIGRATIONS = Path(__file__).parents[2] / "migrations"
TEXTBOOK_SCHEMA = Path(__file__).parent / "textbook" / "schema.sql"


@dataclass(frozen=True, slots=True)
class Servers:
    """Running servers; both services use the same ones."""

    postgres: services.Service
    redis: services.Service
    rabbitmq: services.Service

    def list_pids(self) -> dict[str, int]:
        """Return the first process of each, by component."""
        return {
            "postgres": self.postgres.process.pid,
            "redis": self.redis.process.pid,
            "rabbitmq": self.rabbitmq.process.pid,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Where one service keeps its things."""

    servers: Servers
    name: str
    """Of its database and its virtual host."""
    redis_database: int
    queue: str = TASK_QUEUE
    """Its messages wait here."""

    @property
    def amqp_url(self) -> str:
        """Return the address of the virtual host."""
        return f"amqp://guest:guest@127.0.0.1:{self.servers.rabbitmq.port}/{self.name}"

    @property
    def redis_url(self) -> str:
        """Return the address of the Redis database."""
        return f"redis://127.0.0.1:{self.servers.redis.port}/{self.redis_database}"

    @property
    def postgres_url(self) -> str:
        """Return the address of the database."""
        return f"postgresql://postgres@127.0.0.1:{self.servers.postgres.port}/{self.name}"


class Kept:
    """What one service has kept: its rows and its messages, counted and cleared from outside."""

    def __init__(
        self,
        connection: "asyncpg.Connection[asyncpg.Record]",
        channel: AbstractChannel,
        queue: str,
    ) -> None:
        self._connection = connection
        self._channel = channel
        self._queue = queue

    @classmethod
    @asynccontextmanager
    async def open(cls, addresses: Addresses) -> AsyncIterator["Kept"]:
        """Connect to both."""
        connection = await asyncpg.connect(addresses.postgres_url)
        try:
            async with await aio_pika.connect(addresses.amqp_url) as broker:
                yield cls(connection, await broker.channel(), addresses.queue)
        finally:
            await connection.close()

    async def count_rows(self) -> int:
        """Return how many tasks there are."""
        return int(await self._connection.fetchval("SELECT count(*) FROM tasks"))

    async def list_ids(self) -> list[int]:
        """Return the ids of all tasks, in order."""
        rows = await self._connection.fetch("SELECT id FROM tasks ORDER BY id")
        return [row["id"] for row in rows]

    async def count_messages(self) -> int:
        """Return how many messages wait; nobody consumes them here."""
        queue = await self._channel.declare_queue(self._queue, passive=True)
        return queue.declaration_result.message_count or 0

    async def clear(self) -> None:
        """Let the next round begin as this one did, with no checkpoint due."""
        await self._connection.execute("TRUNCATE tasks CASCADE")
        await self._connection.execute("CHECKPOINT")
        queue = await self._channel.declare_queue(self._queue, passive=True)
        await queue.purge()


@contextlib.contextmanager
def running_servers() -> Iterator[Servers]:
    """Start Postgres with fsync, Redis and RabbitMQ; end them."""
    with (
        services.postgres(is_durable=True) as postgres,
        services.redis() as redis,
        services.rabbitmq(is_durable=True) as rabbitmq,
    ):
        services.await_broker(rabbitmq)
        yield Servers(postgres, redis, rabbitmq)


async def make_database(addresses: Addresses, *scripts: Path) -> None:
    """Create the database and run ``scripts`` in it.

    Raises:
        BenchError: Postgres would not wait for the disk.
    """
    server = addresses.postgres_url.removesuffix(addresses.name) + "postgres"
    connection = await asyncpg.connect(server)
    try:
        await connection.execute(f"CREATE DATABASE {addresses.name}")
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            value = await connection.fetchval(f"SHOW {setting}")
            if value != "on":
                raise BenchError(f"expected Postgres with {setting}=on, found {value}")
    finally:
        await connection.close()
    connection = await asyncpg.connect(addresses.postgres_url)
    try:
        for script in scripts:
            await connection.execute(script.read_text(encoding="utf-8"))
    finally:
        await connection.close()


def make_vhost(addresses: Addresses, queue_arguments: Mapping[str, str | int] | None) -> None:
    """Create the virtual host and its queue, so that the queue can be counted from the start.

    Without arguments there is no queue: the service makes it in its own way.
    """
    broker = addresses.servers.rabbitmq
    everything = {"configure": ".*", "write": ".*", "read": ".*"}
    services.broker_api(broker, "PUT", f"vhosts/{addresses.name}", None)
    services.broker_api(broker, "PUT", f"permissions/{addresses.name}/guest", everything)
    if queue_arguments is not None:
        arguments = {"x-queue-type": "quorum", **queue_arguments}
        services.broker_api(
            broker,
            "PUT",
            f"queues/{addresses.name}/{addresses.queue}",
            {"durable": True, "arguments": arguments},
        )
