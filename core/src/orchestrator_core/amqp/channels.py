"""Channels to RabbitMQ with the topology in place, and its errors told apart.

No "robust" connection: a hidden reconnect hides lost confirms and silent
stalls. Whoever owns a channel opens a new one when it breaks.

Before: the publisher, the consumer or a depth reading needs a channel.
After: the channel closes with its connection.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Self

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractQueue
from aiormq.connection import TransportFactory
from aiormq.exceptions import AMQPError

from orchestrator_core.errors import StoreUnavailableError
from orchestrator_core.settings import AmqpSettings
from orchestrator_core.tls import verifying_context
from orchestrator_core.topology import (
    DEAD_QUEUE,
    DEAD_QUEUE_ARGUMENTS,
    TASK_QUEUE,
    TASK_QUEUE_ARGUMENTS,
)

HEARTBEAT_SECONDS = 10
"""A peer that vanished without a word is noticed after three missed ones."""

ABSENCES = (AMQPError, aio_pika.exceptions.AMQPException, OSError, TimeoutError, RuntimeError)
"""RuntimeError: what aio-pika raises for a channel whose connection is already closed."""


@contextmanager
def answering(attempted: str) -> Iterator[None]:
    """Let RabbitMQ's absence come out as one error that says what was attempted.

    Raises:
        StoreUnavailableError: no answer in time, or no channel to ask on.
    """
    try:
        yield
    except ABSENCES as error:
        raise StoreUnavailableError("rabbitmq", f"{attempted}: {error!r}") from error


class _Connection(aio_pika.Connection):
    """Hands a transport factory on to the library below, which aio-pika itself does not."""

    def over(self, transport_factory: TransportFactory | None) -> Self:
        """Have the connection opened by this factory."""
        self.kwargs["transport_factory"] = transport_factory
        return self


@asynccontextmanager
async def opened_channel(
    settings: AmqpSettings,
    *,
    client: str,
    publisher_confirms: bool,
    transport_factory: TransportFactory | None = None,
) -> AsyncIterator[AbstractChannel]:
    """Open a connection and one channel on it; close both in the end.

    Args:
        settings: where RabbitMQ is.
        client: shown in RabbitMQ's list of connections.
        publisher_confirms: whether publishes on it are confirmed.
        transport_factory: opens the connection's stream; the library's own if None.

    Raises:
        StoreUnavailableError: no channel within the deadline.
        SettingsError: the file of authorities holds none.
    """
    url = settings.url.get_secret_value()
    tls = verifying_context(settings.ca_file) if url.startswith("amqps:") else None
    with answering(f"connect {client}"):
        connection = await aio_pika.connect(
            url,
            ssl_context=tls,
            timeout=settings.connect_timeout_seconds,
            client_properties={"connection_name": client},
            heartbeat=HEARTBEAT_SECONDS,
            connection_class=lambda *arguments, **options: _Connection(*arguments, **options).over(
                transport_factory
            ),
        )
    try:
        yield await _open_channel(connection, settings, publisher_confirms=publisher_confirms)
    finally:
        await _close(connection)


async def _open_channel(
    connection: AbstractConnection, settings: AmqpSettings, *, publisher_confirms: bool
) -> AbstractChannel:
    with answering("open a channel"):
        async with asyncio.timeout(settings.connect_timeout_seconds):
            return await connection.channel(
                publisher_confirms=publisher_confirms, on_return_raises=publisher_confirms
            )


async def declare_topology(channel: AbstractChannel, *, timeout_seconds: float) -> AbstractQueue:
    """Declare every queue; return the task queue. Declaring what exists changes nothing."""
    await channel.declare_queue(
        DEAD_QUEUE, durable=True, arguments=dict(DEAD_QUEUE_ARGUMENTS), timeout=timeout_seconds
    )
    return await channel.declare_queue(
        TASK_QUEUE, durable=True, arguments=dict(TASK_QUEUE_ARGUMENTS), timeout=timeout_seconds
    )


async def _close(connection: AbstractConnection) -> None:
    try:
        async with asyncio.timeout(1.0):
            await connection.close()
    except ABSENCES:
        # A broker that does not answer can't be said goodbye to; the socket is closed anyway.
        return
