"""A consumer and a producer as a good engineer writes them from the libraries' documentation.

The same libraries as ours (aio-pika, asyncpg, uvloop), one message and one row at a time. It tells
what our design is worth apart from the libraries.

Before: ``workers`` start this module; ``producing`` opens its submitter.
After: rows are COMPLETED, messages acknowledged.
"""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aio_pika
import uvloop
from aio_pika.abc import AbstractIncomingMessage

from tests.bench.engine.contract import IN_FLIGHT_PER_PROCESS
from tests.bench.engine.peers.awaited_rows import Rows
from tests.bench.engine.submitters import Submit

QUEUE = "bench_textbook"
_ARGUMENTS = {"x-queue-type": "quorum"}


@asynccontextmanager
async def opened_submitter() -> AsyncIterator[Submit]:
    """Open the pool and a channel that confirms."""
    connection = await aio_pika.connect_robust(os.environ["RABBITMQ_URL"])
    async with connection, Rows.open() as rows:
        channel = await connection.channel(publisher_confirms=True)
        await channel.declare_queue(QUEUE, durable=True, arguments=_ARGUMENTS)

        async def submit() -> int:
            task_id = await rows.insert()
            message = aio_pika.Message(
                json.dumps({"task_id": task_id}).encode(),
                delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            )
            await channel.default_exchange.publish(message, routing_key=QUEUE)
            return task_id

        yield submit


async def work() -> None:
    """Consume until SIGTERM."""
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    connection = await aio_pika.connect_robust(os.environ["RABBITMQ_URL"])
    async with connection, Rows.open() as rows:
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=IN_FLIGHT_PER_PROCESS)
        queue = await channel.declare_queue(QUEUE, durable=True, arguments=_ARGUMENTS)

        async def perform(message: AbstractIncomingMessage) -> None:
            await rows.perform(json.loads(message.body)["task_id"])
            await message.ack()

        await queue.consume(perform)
        await stopped.wait()


if __name__ == "__main__":
    uvloop.run(work())
