"""Take messages from the task queue, one subscription at a time.

A subscription is one connection, one channel and at most one consumer. It never
repairs itself: when the broker closes the channel, cancels the consumer or stops
answering, every call says so and the owner opens another one.

Before: the worker's ``consuming`` opens a subscription and asks for deliveries.
After: deliveries are acked, rejected or put back by whoever took them.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aio_pika.abc import AbstractChannel
from aiormq.abc import DeliveredMessage

from orchestrator_core.amqp.channels import answering, declare_topology, opened_channel
from orchestrator_core.amqp.tap import Delivery, TapFactory, TappedReader
from orchestrator_core.errors import StoreUnavailableError
from orchestrator_core.settings import AmqpSettings
from orchestrator_core.topology import TASK_QUEUE


class Subscription:
    """What ``subscribed`` opens. Not for concurrent use, but for ``check`` and ``wake``.

    Deliveries are taken in the order of their tags, and all of one ``take`` are ended before
    the next: that is what lets one acknowledgement stand for many.
    """

    def __init__(self, channel: AbstractChannel, *, timeout_seconds: float) -> None:
        self._channel = channel
        self._timeout_seconds = timeout_seconds
        # Bounded by the prefetch: the broker sends no more than that without an ack.
        self._arrived: deque[Delivery] = deque()
        self._awake = asyncio.Event()
        self._inner: Any = None
        self._consumer_tag: str | None = None
        self._ended: str | None = None
        self._prefetch_messages = 0

    @property
    def prefetch_messages(self) -> int:
        """How many messages the broker may send ahead; 0 while nothing is consumed."""
        return 0 if self._consumer_tag is None else self._prefetch_messages

    async def watch(self, reader: TappedReader) -> None:
        """Learn of messages, and of the end of the channel and of the consumer.

        Called once, by ``subscribed``.
        """
        self._channel.close_callbacks.add(self._on_close)
        self._inner = await self._channel.get_underlay_channel()
        self._inner.on_consumer_cancel_callbacks.add(self._on_cancel)
        reader.tap(self._inner.number, self._on_deliveries)

    async def consume(self, *, prefetch_messages: int) -> None:
        """Let messages come, ``prefetch_messages`` ahead of the acks at most.

        A consumer that exists is replaced; what it brought stays.
        """
        with self._open("consume"):
            await self._cancel_consumer()
            await self._inner.basic_qos(
                prefetch_count=prefetch_messages, timeout=self._timeout_seconds
            )
            self._prefetch_messages = prefetch_messages
            consuming = await self._inner.basic_consume(
                TASK_QUEUE, _is_tapped, timeout=self._timeout_seconds
            )
            self._consumer_tag = consuming.consumer_tag

    async def pause(self) -> None:
        """Let no more messages come and put back what nobody has taken yet."""
        with self._open("pause"):
            # What was still on its way has come before the broker's answer.
            await self._cancel_consumer()
        waiting = list(self._arrived)
        self._arrived.clear()
        await self.put_back(waiting)

    async def take(self, limit: int) -> list[Delivery]:
        """Return what has come, at most ``limit``, having waited for the first, or for ``wake``.

        Raises:
            StoreUnavailableError: none will come any more.
        """
        if not self._arrived and self._ended is None:
            self._awake.clear()
            await self._awake.wait()
        if self._ended is not None:
            raise StoreUnavailableError("rabbitmq", f"consume {TASK_QUEUE}: {self._ended}")
        return [self._arrived.popleft() for _ in range(min(limit, len(self._arrived)))]

    def wake(self) -> None:
        """End a ``take`` that waits; it returns nothing."""
        self._awake.set()

    async def ack(self, deliveries: Sequence[Delivery]) -> None:
        """Forget the messages: they did their work. All that one ``take`` returned, or the rest.

        Raises:
            StoreUnavailableError: the channel is gone; RabbitMQ delivers them again.
        """
        if deliveries:
            with answering("ack deliveries"):
                await self._inner.basic_ack(deliveries[-1].tag, multiple=True, wait=False)

    async def reject(self, deliveries: Sequence[Delivery]) -> None:
        """Send messages that nobody can use to the dead-letter queue.

        Raises:
            StoreUnavailableError: as ``ack``.
        """
        await self._return(deliveries, requeue=False)

    async def put_back(self, deliveries: Sequence[Delivery]) -> None:
        """Give messages that are fine but not for us to another worker, in their old place.

        Raises:
            StoreUnavailableError: as ``ack``.
        """
        await self._return(deliveries, requeue=True)

    async def _return(self, deliveries: Sequence[Delivery], *, requeue: bool) -> None:
        with answering("return deliveries"):
            for each in deliveries:
                await self._inner.basic_nack(each.tag, requeue=requeue, wait=False)

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
            await self._inner.basic_cancel(tag, timeout=self._timeout_seconds)

    def _on_deliveries(self, deliveries: Sequence[Delivery]) -> None:
        self._arrived.extend(deliveries)
        self._awake.set()

    def _on_close(self, _: object, error: BaseException | None) -> None:
        self._end(f"the channel closed: {error!r}")

    def _on_cancel(self, _: object) -> None:
        self._end("the broker cancelled the consumer; was the queue deleted?")

    def _end(self, reason: str) -> None:
        self._ended = self._ended or reason
        self._awake.set()


async def _is_tapped(_: DeliveredMessage) -> None:
    """Take what the library calls consumers with; it sees no delivery of theirs."""


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
    factory = TapFactory()
    async with opened_channel(
        settings, client=client, publisher_confirms=False, transport_factory=factory
    ) as channel:
        with answering("declare the queues"):
            await declare_topology(channel, timeout_seconds=timeout_seconds)
        subscription = Subscription(channel, timeout_seconds=timeout_seconds)
        await subscription.watch(factory.opened())
        yield subscription
