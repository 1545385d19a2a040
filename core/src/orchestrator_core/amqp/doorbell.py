"""Ring the doorbell: publish envelopes, confirmed, in batches.

Before: the API's ``dispatching`` has committed rows.
After: RabbitMQ has the messages on disk, or the caller knows that it may not.
"""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack

from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractChannel

from orchestrator_core.amqp.channels import ABSENCES, declare_topology, opened_channel
from orchestrator_core.envelope import CONTENT_TYPE, TaskEnvelope
from orchestrator_core.errors import StoreUnavailableError
from orchestrator_core.settings import AmqpSettings
from orchestrator_core.topology import TASK_QUEUE


class Doorbell:
    """Publishes on one channel of its own, opened when needed and again after each failure."""

    def __init__(self, settings: AmqpSettings) -> None:
        self._settings = settings
        self._resources = AsyncExitStack()
        self._channel: AbstractChannel | None = None

    async def ring(self, envelopes: Sequence[TaskEnvelope]) -> None:
        """Publish all and wait for every confirm.

        Raises:
            StoreUnavailableError: at least one is not known to be on the broker's
                disk. Ring again later; a second message for a task is harmless.
        """
        try:
            async with asyncio.timeout(self._settings.confirm_timeout_seconds):
                channel = await self._open()
                await asyncio.gather(*(_publish(channel, each) for each in envelopes))
        except (*ABSENCES, StoreUnavailableError) as error:
            await self.close()
            raise StoreUnavailableError(
                "rabbitmq", f"publish {len(envelopes)} envelopes: {error!r}"
            ) from error

    async def depth_messages(self) -> int:
        """Return how many messages wait in the task queue, not yet handed to a worker.

        Raises:
            StoreUnavailableError: RabbitMQ did not answer in time.
        """
        try:
            async with asyncio.timeout(self._settings.confirm_timeout_seconds):
                channel = await self._open()
                queue = await channel.declare_queue(TASK_QUEUE, passive=True)
                return queue.declaration_result.message_count or 0
        except (*ABSENCES, StoreUnavailableError) as error:
            await self.close()
            raise StoreUnavailableError("rabbitmq", f"read depth: {error!r}") from error

    async def close(self) -> None:
        """Close the channel, if there is one."""
        resources, self._resources = self._resources, AsyncExitStack()
        self._channel = None
        await resources.aclose()

    async def _open(self) -> AbstractChannel:
        if self._channel is None or self._channel.is_closed:
            await self.close()
            self._channel = await self._resources.enter_async_context(
                opened_channel(
                    self._settings, client="orchestrator-doorbell", publisher_confirms=True
                )
            )
            await declare_topology(
                self._channel, timeout_seconds=self._settings.connect_timeout_seconds
            )
        return self._channel


async def _publish(channel: AbstractChannel, envelope: TaskEnvelope) -> None:
    message = Message(
        envelope.to_bytes(),
        content_type=CONTENT_TYPE,
        delivery_mode=DeliveryMode.PERSISTENT,
    )
    # mandatory: a message that no queue takes comes back as an error, not as a confirm.
    await channel.default_exchange.publish(message, routing_key=TASK_QUEUE, mandatory=True)
