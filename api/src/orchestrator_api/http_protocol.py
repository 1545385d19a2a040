"""HTTP on the wire: uvicorn's protocol, with an end to what a client may owe it.

uvicorn on httptools keeps headers of any size and waits for them without end, and
answers what is no HTTP with plain text; and whoever asks for much and takes none of it
has it kept for him. nginx in front bounds all that, but not everything that can reach
this process comes through nginx.

Before: a client has connected.
After: ``request_log`` gets a whole head; who never sends one is let go, and so is who
takes nothing of his answer.
"""

import asyncio
import sys
from dataclasses import dataclass
from fcntl import ioctl
from http import HTTPStatus
from socket import SO_LINGER, SOL_SOCKET
from struct import pack
from termios import TIOCOUTQ
from typing import Any

from pydantic_core import to_json
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from orchestrator_api.problems import MEDIA_TYPE, Problem, to_body

MAX_HEAD_BYTES = 64 << 10
"""Eight times what nginx lets through by default; a token takes half a kilobyte."""
_FRAMING_PER_BODY_BYTE = 16
"""A body in chunks of one byte has six bytes around each."""
PATIENCE_SECONDS = 5.0
"""For a head to come, and for the rest of a body that was answered already."""
TAKE_SECONDS = 30.0
"""For a client to take any of what waits for it, as ``send_timeout`` of nginx."""
_NO_LINGERING = pack("ii", 1, 0)
LOOK_SECONDS = 1.0
"""How often each connection is looked at; that takes a microsecond."""


@dataclass(frozen=True, slots=True)
class Untaken:
    """How much waits for a client, and since when it has been as much."""

    size_bytes: int = 0
    since: float = 0.0

    def look(self, size_bytes: int, now: float) -> "Untaken":
        """Return what is known now; the time counts anew when the client has taken something.

        It does when more was written, too: nothing is once more than 64 KiB wait.
        """
        return self if size_bytes == self.size_bytes else Untaken(size_bytes, now)

    def is_given_up(self, now: float) -> bool:
        """Return whether the client has taken nothing for too long."""
        return self.size_bytes > 0 and now - self.since >= TAKE_SECONDS


def _count_untaken(transport: asyncio.Transport) -> int:
    """Return how many bytes wait for the client; none if all are with the kernel."""
    kept_bytes = transport.get_write_buffer_size()
    if not kept_bytes:
        return 0
    # The kernel takes more only when a third of its megabytes is free again: by our part alone, a
    # client who reads 16 KiB a second takes nothing for more than a minute.
    queued = ioctl(transport.get_extra_info("socket").fileno(), TIOCOUTQ, bytes(4))
    return kept_bytes + int.from_bytes(queued, sys.byteorder)


class BoundedHttpProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - uvicorn's own
        super().__init__(*args, **kwargs)
        self._fed_bytes = 0
        self._body_bytes = 0
        self._has_head = False
        """Whether a message is under way whose headers are complete."""
        self._owes_since: float | None = None
        """Since when the client has owed us a head, or the end of an answered body."""
        self._untaken = Untaken()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # uvicorn narrows it
        """Give the client some time to ask for something."""
        super().connection_made(transport)
        self._owes_since = self.loop.time()
        self._look_again()

    def data_received(self, data: bytes) -> None:
        """Parse ``data``, unless there is too much around the body."""
        if not self._has_head and self._owes_since is None:
            self._owes_since = self.loop.time()
        self._fed_bytes += len(data)
        super().data_received(data)
        around_bytes = self._fed_bytes - self._body_bytes
        if around_bytes > MAX_HEAD_BYTES + _FRAMING_PER_BODY_BYTE * self._body_bytes:
            self._refuse(
                HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
                f"the request line and the headers may have at most {MAX_HEAD_BYTES} bytes",
            )

    def on_message_begin(self) -> None:
        """Count anew; what came with the end of the message before is left out."""
        self._fed_bytes = self._body_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Start the request."""
        self._has_head, self._owes_since = True, None
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Count a part of the body, and keep it as long as somebody may want it."""
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Be ready for the next message."""
        self._has_head, self._owes_since = False, None
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Wait for what an answered message still has to come, but not for ever."""
        if self._has_head:
            self._owes_since = self.loop.time()
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP, in the words of every other refusal."""
        self._refuse(HTTPStatus.BAD_REQUEST, msg)

    def _look_again(self) -> None:
        now = self.loop.time()
        self._untaken = self._untaken.look(_count_untaken(self.transport), now)
        if self._untaken.is_given_up(now):
            # Closing would wait until all is taken, and the kernel goes on for minutes with the
            # megabytes that it has, unless it is told to reset the connection.
            connection = self.transport.get_extra_info("socket")
            connection.setsockopt(SOL_SOCKET, SO_LINGER, _NO_LINGERING)
            self.transport.abort()
        elif self._untaken.size_bytes or not self.transport.is_closing():
            self._end_owing(now)
            self.loop.call_later(LOOK_SECONDS, self._look_again)

    def _end_owing(self, now: float) -> None:
        """Let go of a client who has owed us something for too long."""
        if self._owes_since is None or now - self._owes_since < PATIENCE_SECONDS:
            return
        if self._fed_bytes and not self._has_head:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, "the request did not come in time")
        else:
            self.transport.close()

    def _refuse(self, status: HTTPStatus, detail: str) -> None:
        """Answer, unless another answer has begun, and close."""
        if self.transport.is_closing():
            return
        if self._is_unanswered():
            problem = Problem(
                status=status, code=status.name.lower(), error=status.phrase, detail=detail
            )
            body = to_json(to_body(problem, path="/", trace_id=None))
            self.transport.write(
                b"HTTP/1.1 %d %s\r\ncontent-type: %s\r\ncontent-length: %d\r\n"
                b"connection: close\r\n\r\n%s"
                % (status, status.phrase.encode(), MEDIA_TYPE.encode(), len(body), body)
            )
        self.transport.close()

    def _is_unanswered(self) -> bool:
        """Return whether an answer may be sent; the application's own comes too late then."""
        if self.cycle is None or self.cycle.response_complete:
            return True
        if self.cycle.response_started:
            return False
        self.cycle.disconnected = True
        self.cycle.message_event.set()
        return True
