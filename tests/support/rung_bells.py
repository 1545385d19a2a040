"""For which tasks the doorbell rings.

Before: a test is about to have the API keep tasks.
After: it knows whose messages came into the queue; they are gone from it.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aio_pika

from orchestrator_core.amqp.channels import declare_topology
from orchestrator_core.envelope import TaskEnvelope
from orchestrator_core.settings import AmqpSettings

RungUntil = Callable[[int], Awaitable[set[int]]]
"""Returns for whom the bell rang until it rang for that task."""


@asynccontextmanager
async def listening(settings: AmqpSettings) -> AsyncIterator[RungUntil]:
    """Listen from now on.

    Before the API rings, because it declares the queue with its first ring: whoever declares it
    in the same milliseconds is told that it exists before its leader does, and RabbitMQ 3.10
    ends a connection that consumes from it then (541, ``noproc``).
    """
    connection = await aio_pika.connect(settings.url.get_secret_value())
    async with connection:
        channel = await connection.channel()
        queue = await declare_topology(channel, timeout_seconds=5)
        async with queue.iterator(no_ack=True) as messages:

            async def rung_until(last: int) -> set[int]:
                rung: set[int] = set()
                async with asyncio.timeout(30):
                    async for message in messages:
                        rung.add(TaskEnvelope.from_bytes(message.body).task_id)
                        if last in rung:
                            return rung
                raise AssertionError("the queue was closed")

            yield rung_until
