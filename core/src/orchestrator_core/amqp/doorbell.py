"""Ring the doorbell: publish envelopes, confirmed, in batches.

Before: the API's ``dispatching`` has committed rows.
After: RabbitMQ has the messages on disk, or the caller knows that it may not.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from aio_pika.abc import AbstractChannel

from orchestrator_core.amqp.bulk import publish_all
from orchestrator_core.amqp.channels import ABSENCES, declare_topology, opened_channel
from orchestrator_core.envelope import TaskEnvelope
from orchestrator_core.errors import StoreUnavailableError
from orchestrator_core.settings import AmqpSettings
from orchestrator_core.topology import TASK_QUEUE


@dataclass(frozen=True, slots=True)
class _Line:
    """An open channel with what must be closed after it."""

    channel: AbstractChannel
    resources: AsyncExitStack


class Doorbell:
    """Publishes on one channel of its own, opened when needed and again after each failure."""

    def __init__(self, settings: AmqpSettings) -> None:
        self._settings = settings
        self._line: _Line | None = None
        self._opening = asyncio.Lock()
        self.is_answering = False
        """Whether the last call succeeded; False until the first one."""

    async def ring(self, envelopes: Sequence[TaskEnvelope]) -> None:
        """Publish all and wait for every confirm.

        Raises:
            StoreUnavailableError: at least one is not known to be on the broker's
                disk. Ring again later; a second message for a task is harmless.
        """
        async with self._answering(f"publish {len(envelopes)} envelopes") as channel:
            await publish_all(
                channel, [each.to_bytes() for each in envelopes], routing_key=TASK_QUEUE
            )

    async def depth_messages(self) -> int:
        """Return how many messages wait in the task queue, not yet handed to a worker.

        Raises:
            StoreUnavailableError: RabbitMQ did not answer in time.
        """
        async with self._answering("read the depth") as channel:
            queue = await channel.declare_queue(TASK_QUEUE, passive=True)
            return queue.declaration_result.message_count or 0

    async def close(self) -> None:
        """Close the channel, if there is one."""
        if self._line is not None:
            await self._drop(self._line)

    @asynccontextmanager
    async def _answering(self, attempted: str) -> AsyncIterator[AbstractChannel]:
        line: _Line | None = None
        try:
            async with asyncio.timeout(self._settings.confirm_timeout_seconds):
                line = await self._open()
                yield line.channel
            self.is_answering = True
        except (*ABSENCES, StoreUnavailableError) as error:
            self.is_answering = False
            if line is not None:
                await self._drop(line)
            raise StoreUnavailableError("rabbitmq", f"{attempted}: {error!r}") from error

    async def _open(self) -> _Line:
        # Rings and depth readings run side by side; without the lock each would open its own.
        async with self._opening, AsyncExitStack() as resources:
            if self._line is not None and not self._line.channel.is_closed:
                return self._line
            await self.close()
            channel = await resources.enter_async_context(
                opened_channel(
                    self._settings, client="orchestrator-doorbell", publisher_confirms=True
                )
            )
            await declare_topology(channel, timeout_seconds=self._settings.connect_timeout_seconds)
            self._line = _Line(channel, resources.pop_all())
            return self._line

    async def _drop(self, line: _Line) -> None:
        """Close ``line``, but not a newer one that another ring has opened meanwhile."""
        if self._line is line:
            self._line = None
        await line.resources.aclose()
