"""An answer that goes on: pieces sent as they come, until it is over for either side.

Before: ``telling`` has what is to be said.
After: the client reads until it goes away, or there is nothing more to say.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager, aclosing, suppress
from dataclasses import dataclass

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from orchestrator_api.racing import await_disconnect, race

MEDIA_TYPE = "text/event-stream"
_HEADERS = {
    "Cache-Control": "no-store",
    # nginx collects answers otherwise, and an event would wait for the next ones.
    "X-Accel-Buffering": "no",
}
PATIENCE_SECONDS = 30.0
"""A client that has taken nothing for so long is let go; what waits for it meanwhile is bounded."""
_LAST_WORD_SECONDS = 1.0
"""For a reader to take why it ends; one who reads nothing would keep us for ever."""


@dataclass(frozen=True, slots=True)
class Telling:
    """What a stream is going to say."""

    pieces: AsyncGenerator[bytes, None]
    await_end: Callable[[], Awaitable[None]]
    """Returns when the pieces should have come to their end, whether the client reads or not."""


class EventStream(Response):
    """An answer that ends when there is nothing more to tell, or nobody to be told."""

    media_type = MEDIA_TYPE

    def __init__(
        self,
        telling: AbstractAsyncContextManager[Telling],
        place: AbstractContextManager[None],
    ) -> None:
        """Take what is opened when the answer begins and closed when it is over.

        Args:
            telling: what there is to say.
            place: held meanwhile.
        """
        super().__init__(headers=_HEADERS)
        # Its length is not known.
        del self.headers["content-length"]
        self._telling = telling
        self._place = place

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer until it is over."""
        del scope
        with self._place:
            async with self._telling as telling:
                await self._answer(telling, receive, send)

    async def _answer(self, telling: Telling, receive: Receive, send: Send) -> None:
        await send(
            {
                "type": "http.response.start",
                "status": self.status_code,
                "headers": self.raw_headers,
            }
        )
        await _send_until_over(telling, receive, send)


async def _send_until_over(telling: Telling, receive: Receive, send: Send) -> None:
    sending = await race(
        _send_all(telling.pieces, send), await_disconnect(receive), _after_last_word(telling)
    )
    if not sending.cancelled():
        with suppress(TimeoutError):
            sending.result()


async def _send_all(pieces: AsyncGenerator[bytes, None], send: Send) -> None:
    async with aclosing(pieces):
        async for piece in pieces:
            await _send_piece(piece, send)
    await _send_piece(b"", send, is_last=True)


async def _send_piece(piece: bytes, send: Send, *, is_last: bool = False) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        await send({"type": "http.response.body", "body": piece, "more_body": not is_last})


async def _after_last_word(telling: Telling) -> None:
    await telling.await_end()
    await asyncio.sleep(_LAST_WORD_SECONDS)
