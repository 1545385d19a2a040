"""Take messages from the task queue, one subscription at a time.

A subscription is one connection, one channel and at most one consumer. It never
repairs itself: when the broker closes the channel, cancels the consumer or stops
answering, every call says so and the owner opens another one.

Before: the worker's ``consuming`` opens a subscription and asks for deliveries.
After: each delivery is acked, rejected or put back by whoever took it.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractQueue

from orchestrator_core.amqp.channels import answering, declare_topology, opened_channel
from orchestrator_core.errors import StoreUnavailableError
from orchestrator_core.settings import AmqpSettings
from orchestrator_core.topology import TASK_QUEUE


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message on its way; exactly one of the methods ends it.

    Each raises ``StoreUnavailableError`` when the channel is gone. RabbitMQ then
    delivers the message again, to this worker or another one.
    """

    body: bytes
    _message: AbstractIncomingMessage

    async def ack(self) -> None:
        """The message did its work: forget it."""
        with answering("ack a delivery"):
            await self._message.ack()

    async def reject(self) -> None:
        """The message can't be used by anybody: to the dead-letter queue with it."""
        with answering("reject a delivery"):
            await self._message.reject(requeue=False)

    async def put_back(self) -> None:
        """The message is fine but not for us: another worker gets it, in its old place."""
        with answering("put a delivery back"):
            await self._message.nack(requeue=True)


class Subscription:
    """What ``subscribed`` opens. Not for concurrent use, but for ``check``."""

    def __init__(
        self, channel: AbstractChannel, queue: AbstractQueue, *, timeout_seconds: float
    ) -> None:
        self._channel = channel
        self._queue = queue
        self._timeout_seconds = timeout_seconds
        # Bounded by the prefetch: the broker sends no more than that without an ack.
        self._arrived: asyncio.Queue[Delivery | None] = asyncio.Queue()
        self._consumer_tag: str | None = None
        self._ended: str | None = None
        self._is_paused = True
        self._prefetch_messages = 0

    @property
    def prefetch_messages(self) -> int:
        """How many messages the broker may send ahead; 0 while nothing is consumed."""
        return 0 if self._consumer_tag is None else self._prefetch_messages

    async def watch(self) -> None:
        """Learn of the end of the channel and of the consumer; called once, by ``subscribed``."""
        self._channel.close_callbacks.add(self._on_close)
        underlay = await self._channel.get_underlay_channel()
        underlay.on_consumer_cancel_callbacks.add(self._on_cancel)

    async def consume(self, *, prefetch_messages: int) -> None:
        """Let messages come, ``prefetch_messages`` ahead of the acks at most.

        A consumer that exists is replaced; what it brought stays.
        """
        self._is_paused = False
        with self._open("consume"):
            await self._cancel_consumer()
            await self._channel.set_qos(
                prefetch_count=prefetch_messages, timeout=self._timeout_seconds
            )
            self._prefetch_messages = prefetch_messages
            self._consumer_tag = await self._queue.consume(
                self._on_message, timeout=self._timeout_seconds
            )

    async def pause(self) -> None:
        """Let no more messages come and put back what nobody has taken yet."""
        self._is_paused = True
        with self._open("pause"):
            await self._cancel_consumer()
        while not self._arrived.empty():
            delivery = self._arrived.get_nowait()
            if delivery is not None:
                await delivery.put_back()

    async def next(self) -> Delivery:
        """Return the next message, however long it takes to come.

        Raises:
            StoreUnavailableError: none will come any more.
        """
        delivery = None if self._ended else await self._arrived.get()
        if delivery is None:
            raise StoreUnavailableError("rabbitmq", f"consume {TASK_QUEUE}: {self._ended}")
        return delivery

    async def check(self) -> None:
        """Make one round trip that proves that queue, channel and consumer are there.

        A consumer can be lost without a word (a failed-over queue, a lost cancel
        notice); RabbitMQ then counts none.

        Raises:
            StoreUnavailableError: one of them is not.
        """
        tag = self._consumer_tag
        with self._open("check"):
            found = await self._channel.declare_queue(
                TASK_QUEUE, passive=True, timeout=self._timeout_seconds
            )
        is_steady = tag is not None and tag == self._consumer_tag
        if is_steady and found.declaration_result.consumer_count == 0:
            raise StoreUnavailableError("rabbitmq", f"consume {TASK_QUEUE}: it has no consumer")

    @contextlib.contextmanager
    def _open(self, attempted: str) -> Iterator[None]:
        if self._ended is not None:
            raise StoreUnavailableError("rabbitmq", f"{attempted} {TASK_QUEUE}: {self._ended}")
        with answering(f"{attempted} {TASK_QUEUE}"):
            yield

    async def _cancel_consumer(self) -> None:
        tag, self._consumer_tag = self._consumer_tag, None
        if tag is not None:
            await self._queue.cancel(tag, timeout=self._timeout_seconds)

    async def _on_message(self, message: AbstractIncomingMessage) -> None:
        delivery = Delivery(message.body, message)
        if self._is_paused:
            # It was on its way when the consumer was cancelled. A failure to put it back
            # means that the channel is gone, and the message with it.
            with contextlib.suppress(StoreUnavailableError):
                await delivery.put_back()
        else:
            self._arrived.put_nowait(delivery)

    def _on_close(self, _: object, error: BaseException | None) -> None:
        self._end(f"the channel closed: {error!r}")

    def _on_cancel(self, _: object) -> None:
        self._end("the broker cancelled the consumer; was the queue deleted?")

    def _end(self, reason: str) -> None:
        self._ended = self._ended or reason
        self._arrived.put_nowait(None)


@asynccontextmanager
async def subscribed(settings: AmqpSettings, *, client: str) -> AsyncIterator[Subscription]:
    """Open a subscription that consumes nothing yet; what it holds goes back when it closes.

    Args:
        settings: where RabbitMQ is.
        client: shown in RabbitMQ's list of connections.

    Raises:
        StoreUnavailableError: no channel, or no queue, within the deadline.
    """
    timeout_seconds = settings.connect_timeout_seconds
    async with opened_channel(settings, client=client, publisher_confirms=False) as channel:
        with answering("declare the queues"):
            queue = await declare_topology(channel, timeout_seconds=timeout_seconds)
        subscription = Subscription(channel, queue, timeout_seconds=timeout_seconds)
        await subscription.watch()
        yield subscription
