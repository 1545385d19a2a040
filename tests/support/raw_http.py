"""HTTP written by hand, for what no client library would send.

Before: a test knows a port.
After: it has what came back, if anything did.
"""

import contextlib
import re
import select
import socket
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

ANSWER_SECONDS = 30.0


@dataclass(frozen=True)
class Exchange:
    """What happened on one connection."""

    answer: bytes
    """All that came back; empty when the server hung up without a word."""
    sent_bytes: int
    seconds: float

    @property
    def status(self) -> int:
        """The status that came back, 0 for none."""
        return int(self.answer.split(b" ", 2)[1]) if self.answer else 0


def head(method: str, path: str, *lines: str) -> bytes:
    """Return a request line and headers."""
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: api", *lines, "", ""]).encode("latin-1")


def chunked(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Return ``pieces`` in the chunked transfer coding."""
    for piece in pieces:
        yield b"%x\r\n%s\r\n" % (len(piece), piece)
    yield b"0\r\n\r\n"


def exchange(port: int, pieces: Iterable[bytes], *, pause_seconds: float = 0.0) -> Exchange:
    """Send pieces until something comes back or they are over; then read the answer.

    Args:
        port: on the loopback.
        pieces: sent one after the other.
        pause_seconds: between two pieces.
    """
    started, sent_bytes, answer = time.monotonic(), 0, b""
    has_body = True
    with socket.create_connection(("127.0.0.1", port), timeout=ANSWER_SECONDS) as connection:
        # The server may hang up while we send.
        with contextlib.suppress(ConnectionError):
            for piece in pieces:
                if select.select([connection], [], [], pause_seconds)[0]:
                    break
                # An answer to HEAD tells a length and has no body.
                has_body = has_body and not piece.startswith(b"HEAD ")
                connection.sendall(piece)
                sent_bytes += len(piece)
        with contextlib.suppress(ConnectionError):
            answer = connection.recv(65_536)
            if answer.startswith(b"HTTP/1.1 100 "):
                # The answer itself may have come along with the go-ahead.
                answer = answer.partition(b"\r\n\r\n")[2] or connection.recv(65_536)
            while has_body and missing_bytes(answer) > 0 and (more := connection.recv(65_536)):
                answer += more
    return Exchange(answer, sent_bytes, time.monotonic() - started)


def missing_bytes(answer: bytes) -> int:
    """Return how many bytes of its body are still to come, by its Content-Length."""
    head, _, body = answer.partition(b"\r\n\r\n")
    length = re.search(rb"\r\ncontent-length: *(\d+)", head, re.IGNORECASE)
    return int(length[1]) - len(body) if length else 0
