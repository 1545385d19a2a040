"""Questions to the node's processes: is it healthy, does DNS answer.

Before: ``components`` says which question fits which process.
After: ``node`` waits for the answers; ``status`` shows them.
"""

import contextlib
import http.client
import socket
import ssl
import struct
from pathlib import Path

_TIMEOUT_SECONDS = 2.0
_OK = 200
_DNS_PORT = 53
_DNS_HEADER_BYTES = 12
_ADDRESS_RECORD = 1
_POINTER = 0xC0


def is_http_healthy(port: int, path: str = "/healthz", *, is_tls: bool = False) -> bool:
    """Ask a process of this machine for its health.

    Args:
        port: on 127.0.0.1.
        path: what to ask for.
        is_tls: with a certificate that the process made itself, so unverified.
    """
    connection: http.client.HTTPConnection
    if is_tls:
        connection = http.client.HTTPSConnection(
            "127.0.0.1", port, timeout=_TIMEOUT_SECONDS, context=_unverified()
        )
    else:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_SECONDS)
    with contextlib.closing(connection):
        try:
            connection.request("GET", path)
            return connection.getresponse().status == _OK
        except (OSError, http.client.HTTPException):
            return False


def is_socket_open(path: Path) -> bool:
    """Say whether somebody listens on a Unix socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(_TIMEOUT_SECONDS)
        return client.connect_ex(str(path)) == 0


def is_port_open(address: str, port: int) -> bool:
    """Say whether a TCP connection to an address, also one of a service, comes about."""
    try:
        socket.create_connection((address, port), timeout=_TIMEOUT_SECONDS).close()
    except OSError:
        return False
    return True


def resolve(name: str, server: str) -> str | None:
    """Ask a DNS server for the first IPv4 address of a name, past this host's own resolver."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(_TIMEOUT_SECONDS)
        try:
            client.sendto(build_query(name), (server, _DNS_PORT))
            return parse_answer(client.recv(512))
        except (OSError, struct.error, IndexError):
            return None


def build_query(name: str) -> bytes:
    """Build a recursive query for an A record (RFC 1035 section 4.1)."""
    header = struct.pack(">6H", 0x4F43, 0x0100, 1, 0, 0, 0)
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return header + labels + b"\0" + struct.pack(">2H", 1, 1)


def parse_answer(answer: bytes) -> str | None:
    """Read the first A record of an answer (RFC 1035 section 4.1.3)."""
    if len(answer) < _DNS_HEADER_BYTES:
        return None
    questions, records = struct.unpack_from(">2H", answer, 4)
    offset = _DNS_HEADER_BYTES
    for _ in range(questions):
        offset = _skip_name(answer, offset) + 4
    for _ in range(records):
        offset = _skip_name(answer, offset)
        kind, _class, _seconds, length = struct.unpack_from(">2HIH", answer, offset)
        offset += 10
        if kind == _ADDRESS_RECORD:
            return socket.inet_ntoa(answer[offset : offset + length])
        offset += length
    return None


def _skip_name(answer: bytes, offset: int) -> int:
    while answer[offset]:
        if answer[offset] >= _POINTER:
            return offset + 2
        offset += 1 + answer[offset]
    return offset + 1


def _unverified() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
