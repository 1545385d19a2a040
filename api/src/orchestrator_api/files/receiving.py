"""Uploads: taken in piece by piece, within bounds of size, type, time and number.

Before: ``endpoints`` knows whose file it is and what it is called.
After: the file is whole in the store, or nothing of it is.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from orchestrator_api.bounds import Allowance, parse_length
from orchestrator_api.errors import (
    BodyTooLargeError,
    BodyTooSlowError,
    UnsupportedMediaTypeError,
)
from orchestrator_api.files.media_types import is_taken, normalise_media_type
from orchestrator_api.places import Places
from orchestrator_core.files import PIECE_BYTES, NewUpload, UploadedFile, UploadRules, UploadStore
from orchestrator_core.tasks import UserId

ANSWER_SECONDS = 15.0
"""For the statements around the body; each has a deadline of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivingRules:
    """What holds for every upload."""

    limit_bytes: int
    types: Sequence[str]
    """Patterns of media types that are taken."""
    piece_seconds: float
    """For 256 KiB to come in, or what is left of the file."""
    kept: UploadRules


class Receiving:
    """Takes files in."""

    def __init__(self, store: UploadStore, places: Places, rules: ReceivingRules) -> None:
        self._store = store
        self._places = places
        self._rules = rules

    def announce(self, headers: Mapping[str, str], *, user_id: UserId, name: str) -> NewUpload:
        """Return what the headers of a request say about the file in its body.

        Raises:
            UnsupportedMediaTypeError: its type is not taken, or it is compressed for the way.
            BodyTooLargeError: it is larger than allowed.
        """
        size_bytes = parse_length(headers.get("content-length", "").encode())
        if size_bytes is not None and size_bytes > self._rules.limit_bytes:
            raise BodyTooLargeError(self._rules.limit_bytes)
        return NewUpload(
            user_id=user_id,
            file_name=name,
            content_type=self._require_type(headers),
            announced_bytes=size_bytes,
        )

    async def receive(
        self, new: NewUpload, body: AsyncIterator[bytes], allowance: Allowance
    ) -> UploadedFile:
        """Keep ``body`` as a file.

        Raises:
            OverloadedError, RateLimitedError: too many uploads are under way, of all or of the
                user.
            QuotaExceededError: the user's files have no room for it.
            BodyTooLargeError: it is larger than allowed.
            BodyTooSlowError: it does not come in time.
            StoreUnavailableError: nothing is known to be kept.
            ClientDisconnect: it ended before its end; nothing is kept.
        """
        allowance.stream_body(self._rules.limit_bytes)
        allowance.take_seconds(self._rules.kept.upload_seconds + ANSWER_SECONDS)
        with self._places.taking(new.user_id):
            async with (
                self._store.receiving(new, self._rules.kept) as writer,
                aclosing(gather_pieces(body)) as pieces,
            ):
                end = asyncio.get_running_loop().time() + self._rules.kept.upload_seconds
                while piece := await self._take(pieces, end=end):
                    await writer.append(piece)
                return await writer.finish()

    async def _take(self, pieces: AsyncIterator[bytes], *, end: float) -> bytes:
        now = asyncio.get_running_loop().time()
        timeout = asyncio.timeout_at(min(now + self._rules.piece_seconds, end))
        try:
            async with timeout:
                return await anext(pieces, b"")
        except TimeoutError as error:
            if not timeout.expired():
                raise
            raise BodyTooSlowError(
                f"expected {PIECE_BYTES} bytes within {self._rules.piece_seconds:g} s each, and"
                f" the whole file within {self._rules.kept.upload_seconds:g} s"
            ) from error

    def _require_type(self, headers: Mapping[str, str]) -> str:
        coding = headers.get("content-encoding", "identity").strip().lower()
        if coding != "identity":
            raise UnsupportedMediaTypeError(
                f"expected the file itself, without Content-Encoding, found {coding[:100]!r}"
            )
        given = headers.get("content-type", "")
        media_type = normalise_media_type(given)
        if media_type is None or not is_taken(media_type, self._rules.types):
            raise UnsupportedMediaTypeError(
                "expected the file itself as the body, with a Content-Type that is one of"
                f" {', '.join(self._rules.types)}; found {given[:100]!r}"
            )
        return media_type


async def gather_pieces(chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """Yield what ``chunks`` of any size hold in pieces of ``PIECE_BYTES``; the last may be less."""
    gathered = bytearray()
    async for chunk in chunks:
        gathered += chunk
        while len(gathered) >= PIECE_BYTES:
            yield bytes(gathered[:PIECE_BYTES])
            del gathered[:PIECE_BYTES]
    if gathered:
        yield bytes(gathered)
