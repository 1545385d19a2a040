"""Taskiq with its RabbitMQ broker: quorum queue and confirms are its defaults.

Before: ``workers`` start ``taskiq worker``; ``producing`` opens the submitter.
After: rows are COMPLETED, messages acknowledged.
"""

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Annotated

from taskiq import Context, TaskiqDepends, TaskiqEvents, TaskiqState
from taskiq_aio_pika import AioPikaBroker, Queue, QueueType

from tests.bench.engine.peers.awaited_rows import Rows
from tests.bench.engine.submitters import Submit

QUEUE = "bench_taskiq"
_PREFETCH = 256
"""Its default of 10 would let it wait for the broker most of the time."""

broker = AioPikaBroker(
    os.environ["RABBITMQ_URL"],
    qos=_PREFETCH,
    task_queues=[Queue(name=QUEUE, type=QueueType.QUORUM, durable=True)],
)


@broker.on_event(TaskiqEvents.WORKER_STARTUP)
async def open_rows(state: TaskiqState) -> None:
    """Open the pool for all tasks of the process."""
    state.resources = AsyncExitStack()
    state.rows = await state.resources.enter_async_context(Rows.open())


@broker.on_event(TaskiqEvents.WORKER_SHUTDOWN)
async def close_rows(state: TaskiqState) -> None:
    """Close it."""
    await state.resources.aclose()


@broker.task(task_name="noop")
async def noop(task_id: int, context: Annotated[Context, TaskiqDepends()]) -> None:
    """Run a task."""
    await context.state.rows.perform(task_id)


@asynccontextmanager
async def opened_submitter() -> AsyncIterator[Submit]:
    """Start the broker's client side."""
    await broker.startup()
    try:
        async with Rows.open() as rows:

            async def submit() -> int:
                task_id = await rows.insert()
                await noop.kiq(task_id)
                return task_id

            yield submit
    finally:
        await broker.shutdown()
