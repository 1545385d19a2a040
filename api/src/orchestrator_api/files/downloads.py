"""Downloads: a file or a part of it, streamed, that no browser will ever run.

An answer needs the memory of one piece. It is only whole when all its bytes were
read: where the store fails in between, the connection closes, and the client sees
that something is missing.

Before: ``endpoints`` has the description of a file that is the caller's own.
After: the client has its bytes under a harmless name and type, or 304 or 416.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractContextManager, aclosing
from dataclasses import dataclass
from http import HTTPMethod, HTTPStatus

import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from orchestrator_api.etags import is_current
from orchestrator_api.files.media_types import OCTETS, normalise_media_type
from orchestrator_api.files.names import to_disposition
from orchestrator_api.files.ranges import ByteRange, parse_range
from orchestrator_api.racing import await_disconnect, race
from orchestrator_core.errors import StoreUnavailableError
from orchestrator_core.files import FileFacts

SEND_SECONDS = 30.0
"""For a client to take a piece of 256 KiB; one that reads nothing would keep it for ever."""
Read = Callable[[ByteRange], AsyncGenerator[bytes, None]]

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a client says about the download it wants."""

    is_head: bool = False
    if_none_match: str | None = None
    range: str | None = None
    if_range: str | None = None

    @classmethod
    def of(cls, request: Request) -> "Asked":
        """Return what ``request`` says."""
        headers = request.headers
        return cls(
            is_head=request.method == HTTPMethod.HEAD,
            if_none_match=headers.get("if-none-match"),
            range=headers.get("range"),
            if_range=headers.get("if-range"),
        )


def build_download(
    facts: FileFacts, asked: Asked, read: Read, place: AbstractContextManager[None]
) -> Response:
    """Return the answer that carries what is asked for; nothing is read before it is sent.

    Args:
        facts: of the file.
        asked: how much of it is wanted, and what the client has already.
        read: yields the bytes of a part.
        place: held while they are sent.

    Raises:
        RangeNotSatisfiableError: the part lies outside the file.
    """
    etag = f'"{facts.sha256.hex()}"'
    fresh = {"ETag": etag, "Cache-Control": "private, no-cache"}
    # In the order of RFC 9110 section 13.2.2.
    if is_current(asked.if_none_match, etag):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=fresh)
    part = _find_part(facts, asked, etag)
    wanted = part or ByteRange(0, facts.size_bytes)
    headers = {
        **fresh,
        "Accept-Ranges": "bytes",
        "Content-Type": normalise_media_type(facts.content_type) or OCTETS,
        "Content-Length": str(wanted.stop - wanted.start),
        "Content-Disposition": to_disposition(facts.file_name),
        # Three locks on one door: never guess a type, never show it, and if so, run nothing.
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'; sandbox",
    }
    if asked.is_head:
        return Response(headers=headers)
    if part is None:
        return FileAnswer(HTTPStatus.OK, headers, read(wanted), place)
    headers["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{facts.size_bytes}"
    return FileAnswer(HTTPStatus.PARTIAL_CONTENT, headers, read(wanted), place)


def _find_part(facts: FileFacts, asked: Asked, etag: str) -> ByteRange | None:
    # Only GET has parts (section 14.2); If-Range compares strongly (section 13.1.5), and a date
    # never fits, because no answer has one.
    if asked.is_head or asked.if_range not in (None, etag):
        return None
    return parse_range(asked.range, facts.size_bytes)


class FileAnswer(Response):
    """An answer whose bytes are read as fast as the client takes them."""

    def __init__(
        self,
        status_code: int,
        headers: dict[str, str],
        pieces: AsyncGenerator[bytes, None],
        place: AbstractContextManager[None],
    ) -> None:
        super().__init__(status_code=status_code, headers=headers)
        self._pieces = pieces
        self._place = place

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer until all is sent, or one side fails."""
        del scope
        with self._place:
            async with aclosing(self._pieces) as pieces:
                # Before the answer begins, a store that is away is still a 503.
                first = await anext(pieces, b"")
                await self._send_until_gone(first, receive, send)

    async def _send_until_gone(self, first: bytes, receive: Receive, send: Send) -> None:
        sending = await race(self._send(first, send), await_disconnect(receive))
        if not sending.cancelled():
            sending.result()

    async def _send(self, first: bytes, send: Send) -> None:
        await send(
            {
                "type": "http.response.start",
                "status": self.status_code,
                "headers": self.raw_headers,
            }
        )
        try:
            piece = first
            while piece:
                await _send_piece(piece, send)
                piece = await anext(self._pieces, b"")
            await _send_piece(b"", send, is_last=True)
        except (StoreUnavailableError, TimeoutError) as error:
            # Not finished: the server closes the connection, so nobody takes it for the whole.
            _log.warning("download broke off", reason=str(error) or "its reader is too slow")


async def _send_piece(piece: bytes, send: Send, *, is_last: bool = False) -> None:
    async with asyncio.timeout(SEND_SECONDS):
        await send({"type": "http.response.body", "body": piece, "more_body": not is_last})
