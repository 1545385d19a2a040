"""Take deliveries out of the stream before the client library sees them.

The library reads each of a delivery's three frames with three waits and a lock, passes
it through a queue to the channel's own task and starts a task for the message: 45 µs
of CPU and four turns of the event loop for a message of 24 bytes. Here all frames that
one read from the socket brought are walked at once, 2 µs a message, and the deliveries
are handed on in the same turn. Every other frame goes to the library, which still owns
the connection: it answers, keeps the heartbeat and notices that the broker is gone.

Before: ``consumer`` opens its connection with a ``TapFactory``.
After: the subscription has whole messages; the library has all the rest.
"""

import asyncio
import struct
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from aiormq.connection import TransportFactory
from aiormq.exceptions import AMQPConnectionError
from yarl import URL

_FRAME = struct.Struct(">BHI")
"""Kind, channel and size; AMQP 0-9-1, section 4.2.3."""
_METHOD, _HEADER, _BODY, _FRAME_END = 1, 2, 3, 0xCE
_DELIVER = struct.pack(">HH", 60, 60)
"""Class and method of ``basic.deliver``; section 1.8.3.9. The consumer's tag follows, as a short
string, and then the delivery's."""
_NUMBER = struct.Struct(">Q")
_HEARTBEAT = b"\x08\x00\x00\x00\x00\x00\x00\xce"
_HEARTBEAT_SECONDS = 1.0


class Delivery(NamedTuple):
    """One message on its way; it is ended by the subscription that brought it."""

    tag: int
    body: bytes


Take = Callable[[Sequence[Delivery]], None]
"""Gets the deliveries of one read, in their order; must not block or raise."""


class DeliveryScanner:
    """Divides a stream of frames into one channel's deliveries and all the rest."""

    def __init__(self, channel_number: int) -> None:
        self._channel_number = channel_number
        self._partial = b""
        self._tag: int | None = None
        self._missing_bytes = 0
        self._parts: list[bytes] = []

    def scan(self, data: bytes) -> tuple[list[Delivery], bytes]:
        """Return the deliveries that ``data`` completes, and what is no part of a delivery.

        The beginning of a frame is kept until the rest of it comes.
        """
        data = self._partial + data if self._partial else data
        deliveries: list[Delivery] = []
        others: list[bytes] = []
        at, end_of_data = 0, len(data)
        while end_of_data - at >= _FRAME.size:
            kind, channel_number, size = _FRAME.unpack_from(data, at)
            start = at + _FRAME.size
            end = start + size + 1
            if end > end_of_data:
                break
            # What does not end as a frame does is the library's to complain about.
            is_ours = channel_number == self._channel_number and data[end - 1] == _FRAME_END
            if is_ours and kind == _METHOD and data.startswith(_DELIVER, start):
                (self._tag,) = _NUMBER.unpack_from(data, start + 5 + data[start + 4])
            elif is_ours and kind in (_HEADER, _BODY) and self._tag is not None:
                if kind == _HEADER:
                    (self._missing_bytes,) = _NUMBER.unpack_from(data, start + 4)
                else:
                    self._parts.append(data[start : end - 1])
                    self._missing_bytes -= size
                if self._missing_bytes <= 0:
                    deliveries.append(Delivery(self._tag, b"".join(self._parts)))
                    self._tag, self._parts = None, []
            else:
                others.append(data[at:end])
            at = end
        self._partial = data[at:]
        return deliveries, b"".join(others)


class TappedReader(asyncio.StreamReader):
    """The stream that the library reads; from ``tap`` on, without deliveries."""

    def __init__(self, *, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop=loop)
        self._scanner: DeliveryScanner | None = None
        self._take: Take | None = None
        self._fed_at = 0.0

    def tap(self, channel_number: int, take: Take) -> None:
        """Hand all deliveries of this channel to ``take``. Nothing may be consumed on it yet."""
        self._scanner, self._take = DeliveryScanner(channel_number), take

    def feed_data(self, data: bytes) -> None:  # type: ignore[override]  # a socket brings bytes
        """Take what the socket brought; called by the protocol."""
        if self._scanner is None or self._take is None:
            super().feed_data(data)
            return
        deliveries, others = self._scanner.scan(data)
        now = time.monotonic()
        if not others and now - self._fed_at > _HEARTBEAT_SECONDS:
            # RabbitMQ sends no heartbeat while it sends messages, and the library would think it
            # dead.
            others = _HEARTBEAT
        if others:
            self._fed_at = now
            super().feed_data(others)
        if deliveries:
            self._take(deliveries)


class TapFactory(TransportFactory):
    """Opens the library's connection with a reader that can be tapped."""

    def __init__(self) -> None:
        self._reader: TappedReader | None = None

    def opened(self) -> TappedReader:
        """Return the reader of the connection that was opened last."""
        if self._reader is None:
            raise RuntimeError("no connection was opened with this factory")
        return self._reader

    async def create(
        self,
        url: URL,
        **kwargs: Any,  # noqa: ANN401 - what the library hands through
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Do as ``asyncio.open_connection`` does.

        Raises:
            AMQPConnectionError: nobody answers there.
        """
        provider = kwargs.pop("ssl_context_provider")
        context = await provider.get_context() if url.scheme == "amqps" else None
        loop = asyncio.get_running_loop()
        self._reader = reader = TappedReader(loop=loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        try:
            transport, _ = await loop.create_connection(
                lambda: protocol, url.host or "", url.port or 0, ssl=context, **kwargs
            )
        except OSError as error:
            raise AMQPConnectionError(*error.args) from error
        return reader, asyncio.StreamWriter(transport, protocol, reader, loop)
