"""Pause a producer while its queue is long, so that a steady run measures workers and not backlog.

Before: ``producing`` names the queue.
After: its clients wait for ``is_open`` before each submission.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

import aio_pika
from aio_pika.abc import AbstractChannel

from tests.bench.engine.contract import MAX_READY_MESSAGES

_LOOK_SECONDS = 0.02


class Valve:
    """Open while at most ``MAX_READY_MESSAGES`` wait."""

    def __init__(self) -> None:
        self.is_open = asyncio.Event()
        self.is_open.set()

    @classmethod
    @asynccontextmanager
    async def watching(cls, queue: str | None) -> AsyncIterator[Self]:
        """Watch the queue; without one the valve stays open."""
        valve = cls()
        if queue is None:
            yield valve
            return
        async with await aio_pika.connect(os.environ["RABBITMQ_URL"]) as connection:
            watching = asyncio.create_task(valve._watch(await connection.channel(), queue))
            try:
                yield valve
            finally:
                watching.cancel()

    async def _watch(self, channel: AbstractChannel, queue: str) -> None:
        while True:
            declared = await channel.declare_queue(queue, passive=True)
            if (declared.declaration_result.message_count or 0) > MAX_READY_MESSAGES:
                self.is_open.clear()
            else:
                self.is_open.set()
            await asyncio.sleep(_LOOK_SECONDS)
