"""For which tasks the doorbell rang.

Before: the API under test has kept tasks.
After: a test knows whose messages wait in the queue; they are gone from it.
"""

import asyncio

import aio_pika

from orchestrator_core.amqp.channels import declare_topology
from orchestrator_core.envelope import TaskEnvelope
from orchestrator_core.settings import AmqpSettings


async def rung_until(settings: AmqpSettings, last: int) -> set[int]:
    """Return for whom the bell rang until it rang for ``last``."""
    rung: set[int] = set()
    connection = await aio_pika.connect(settings.url.get_secret_value())
    async with connection, asyncio.timeout(30):
        channel = await connection.channel()
        # The API declares it only when it first rings.
        queue = await declare_topology(channel, timeout_seconds=5)
        async with queue.iterator(no_ack=True) as messages:
            async for message in messages:
                rung.add(TaskEnvelope.from_bytes(message.body).task_id)
                if last in rung:
                    return rung
    raise AssertionError("the queue was closed")
