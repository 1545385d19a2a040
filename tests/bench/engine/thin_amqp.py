"""The least a Python process can do to take messages: one socket, frames counted, many acks in one.

Before: ``roofline`` has filled a queue.
After: all its messages are taken and acknowledged; the CPU time that took is a lower bound.
"""

import socket
import struct
from urllib.parse import urlsplit

import pamqp.commands as amqp
import pamqp.frame
import pamqp.header
from pamqp.base import Frame

_FRAME = struct.Struct(">BHI")
_METHOD = struct.Struct(">HH")
_DELIVER = (60, 60)
_PREFETCH = 400
_ACK_EVERY = 100
_TIMEOUT_SECONDS = 10.0


def take_all(url: str, queue: str, *, messages: int) -> None:
    """Consume and acknowledge that many messages."""
    parts = urlsplit(url)
    address = (parts.hostname or "", parts.port or 5672)
    with socket.create_connection(address, _TIMEOUT_SECONDS) as line:
        _open(line, user=parts.username or "", password=parts.password or "", vhost=parts.path[1:])
        _send(line, amqp.Basic.Qos(0, _PREFETCH), 1)
        _send(line, amqp.Basic.Consume(0, queue), 1)
        _count(line, messages)
        _send(line, amqp.Connection.Close(200, "done", 0, 0), 0)
        # The server agrees when it has read everything before; it leaves hanging up to us.
        _expect(line)


def _open(line: socket.socket, *, user: str, password: str, vhost: str) -> None:
    line.sendall(pamqp.header.ProtocolHeader().marshal())
    _expect(line)
    start = amqp.Connection.StartOk(
        mechanism="PLAIN", response=f"\0{user}\0{password}", locale="en_US"
    )
    _send(line, start, 0)
    _expect(line)
    _send(line, amqp.Connection.TuneOk(2047, 131072, 0), 0)
    _send(line, amqp.Connection.Open(vhost), 0)
    _expect(line)
    _send(line, amqp.Channel.Open(), 1)
    _expect(line)


def _send(line: socket.socket, frame: Frame, channel: int) -> None:
    line.sendall(pamqp.frame.marshal(frame, channel))


def _expect(line: socket.socket) -> None:
    """Take one frame, whatever it says; a refusal shows in what comes next."""
    _, _, size = _FRAME.unpack(_read(line, _FRAME.size))
    _read(line, size + 1)


def _read(line: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        more = line.recv(size - len(found))
        if not more:
            raise ConnectionError("RabbitMQ hung up")
        found += more
    return found


def _count(line: socket.socket, messages: int) -> None:
    waiting, tag = b"", 0
    while tag < messages:
        more = line.recv(262144)
        if not more:
            raise ConnectionError("RabbitMQ hung up")
        waiting += more
        acked, (waiting, tag) = tag, scan(waiting, tag)
        if tag // _ACK_EVERY > acked // _ACK_EVERY or tag == messages:
            _send(line, amqp.Basic.Ack(tag, multiple=True), 1)


def scan(data: bytes, tag: int) -> tuple[bytes, int]:
    """Return what is left after the last whole frame, and the last delivery's number."""
    at = 0
    while len(data) - at >= _FRAME.size:
        kind, _, size = _FRAME.unpack_from(data, at)
        end = at + _FRAME.size + size + 1
        if end > len(data):
            break
        if kind == 1 and _METHOD.unpack_from(data, at + _FRAME.size) == _DELIVER:
            tag += 1
        at = end
    return data[at:], tag
