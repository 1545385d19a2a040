"""What a system has kept: its rows and its messages, looked at from outside.

Before: ``scenarios`` have let it work.
After: counts and times; nothing is taken from the system's own word.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Self

import aio_pika
import asyncpg
from aio_pika.abc import AbstractChannel

from tests.bench.engine.contract import RESULT
from tests.bench.engine.systems import System
from tests.bench.stores import Addresses

_LOOK_SECONDS = 0.1


class Kept:
    """Rows and messages of one system."""

    def __init__(
        self,
        system: System,
        connection: "asyncpg.Connection[asyncpg.Record]",
        channel: AbstractChannel,
    ) -> None:
        self._system = system
        self._connection = connection
        self._channel = channel

    @classmethod
    @asynccontextmanager
    async def open(cls, system: System, addresses: Addresses) -> AsyncIterator[Self]:
        """Connect to both."""
        connection = await asyncpg.connect(addresses.postgres_url)
        try:
            async with await aio_pika.connect(addresses.amqp_url) as broker:
                yield cls(system, connection, await broker.channel())
        finally:
            await connection.close()

    async def await_consumers(self, check: Callable[[], None]) -> None:
        """Wait until every worker process consumes. Needs a deadline of the caller.

        Args:
            check: raises if a worker has ended meanwhile.
        """
        while True:
            check()
            try:
                queue = await self._channel.declare_queue(self._system.queue, passive=True)
            except aio_pika.exceptions.ChannelNotFoundEntity:
                await self._channel.reopen()
            else:
                if (queue.declaration_result.consumer_count or 0) >= self._system.consumers:
                    return
            await asyncio.sleep(_LOOK_SECONDS)

    async def declare(self) -> None:
        """Make the queue, empty, where no worker has done so."""
        await self._channel.declare_queue(
            self._system.queue, durable=True, arguments=dict(self._system.queue_arguments)
        )

    async def count_messages(self) -> int:
        """Return how many messages wait, nobody holding them."""
        queue = await self._channel.declare_queue(self._system.queue, passive=True)
        return queue.declaration_result.message_count or 0

    async def count_completed(self) -> int:
        """Return how many tasks are done."""
        return int(
            await self._connection.fetchval("SELECT count(*) FROM tasks WHERE status = 'COMPLETED'")
        )

    async def count_wrong_results(self) -> int:
        """Return how many completed tasks have another result than they should."""
        return int(await self._connection.fetchval(self._system.wrong_results, RESULT))

    async def list_finish_times(self) -> list[float]:
        """Return when tasks were completed, in seconds of the database's clock, in order."""
        rows = await self._connection.fetch(
            "SELECT extract(epoch FROM finished_at)::float8 AS at FROM tasks"
            " WHERE status = 'COMPLETED' ORDER BY finished_at"
        )
        return [row["at"] for row in rows]

    async def list_moves(self) -> list[tuple[float, float, float]]:
        """Return when each of our tasks was accepted, claimed and settled, in id order.

        Seconds of the database's clock, as the statements ran; each commit comes after.
        """
        rows = await self._connection.fetch(
            "SELECT extract(epoch FROM min(at) FILTER (WHERE kind = 'ACCEPTED'))::float8,"
            " extract(epoch FROM min(at) FILTER (WHERE kind = 'CLAIMED'))::float8,"
            " extract(epoch FROM min(at) FILTER (WHERE kind = 'COMPLETED'))::float8"
            " FROM task_events GROUP BY task_id ORDER BY task_id"
        )
        return [(row[0], row[1], row[2]) for row in rows]

    async def clear(self) -> None:
        """Let the next cell begin as this one did, with no checkpoint due."""
        await self._connection.execute("TRUNCATE tasks CASCADE")
        await self._connection.execute("CHECKPOINT")

    async def analyze(self) -> None:
        """Do what autovacuum does sooner or later, so that no run depends on when."""
        await self._connection.execute("ANALYZE")
