"""An answer that goes on, to clients that read, that go away, and that do neither."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from typing import Any

from starlette.types import Message, Receive, Send

import orchestrator_api.events.streams as streaming
from orchestrator_api.events.streams import EventStream, Telling


class Client:
    """Reads what it is sent, until it is told not to."""

    def __init__(self) -> None:
        self.sent: list[Message] = []
        self.gone = asyncio.Event()
        self.reads = asyncio.Event()
        self.reads.set()
        self.has_begun = asyncio.Event()
        self.has_words = asyncio.Event()

    async def receive(self) -> Message:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        await self.reads.wait()
        self.sent.append(message)
        self.has_begun.set()
        if message.get("body"):
            self.has_words.set()

    @property
    def text(self) -> bytes:
        return b"".join(each.get("body", b"") for each in self.sent)


class Place:
    """Whether it is held, and whether the pieces were let go."""

    def __init__(self) -> None:
        self.is_held = False
        self.is_telling = False
        self.over = asyncio.Event()

    @contextmanager
    def taking(self):
        self.is_held = True
        yield
        self.is_held = False

    @asynccontextmanager
    async def telling(self, *pieces: bytes, ends: bool) -> AsyncIterator[Telling]:
        yield Telling(self._pieces(pieces, ends=ends), self._await_end)

    async def _await_end(self) -> None:
        await self.over.wait()

    async def _pieces(
        self, pieces: tuple[bytes, ...], *, ends: bool
    ) -> AsyncGenerator[bytes, None]:
        self.is_telling = True
        try:
            for each in pieces:
                yield each
            if not ends:
                await asyncio.Event().wait()
        finally:
            self.is_telling = False


async def answer(stream: EventStream, receive: Receive, send: Send) -> None:
    scope: dict[str, Any] = {"type": "http"}
    await stream(scope, receive, send)


async def test_it_ends_with_its_last_piece_and_is_never_collected_or_kept() -> None:
    client, place = Client(), Place()

    await answer(
        EventStream(place.telling(b"one", b"two", ends=True), place.taking()),
        client.receive,
        client.send,
    )

    headers = dict(client.sent[0]["headers"])
    assert client.text == b"onetwo"
    assert not client.sent[-1].get("more_body", False)
    assert headers[b"content-type"] == b"text/event-stream; charset=utf-8"
    assert headers[b"cache-control"] == b"no-store"
    assert headers[b"x-accel-buffering"] == b"no"
    assert b"content-length" not in headers
    assert not place.is_held


async def test_a_client_that_goes_away_frees_everything_at_once() -> None:
    client, place = Client(), Place()
    answering = asyncio.create_task(
        answer(
            EventStream(place.telling(b"one", ends=False), place.taking()),
            client.receive,
            client.send,
        )
    )
    await client.has_words.wait()
    was_held = place.is_held

    client.gone.set()
    await answering

    assert was_held
    assert not place.is_held
    assert not place.is_telling


async def test_a_client_that_reads_nothing_is_let_go_when_the_end_has_come(monkeypatch) -> None:
    monkeypatch.setattr(streaming, "_LAST_WORD_SECONDS", 0.01)
    client, place = Client(), Place()
    answering = asyncio.create_task(
        answer(
            EventStream(place.telling(b"one", b"two", ends=False), place.taking()),
            client.receive,
            client.send,
        )
    )
    await client.has_begun.wait()
    client.reads.clear()

    place.over.set()
    await answering

    assert not place.is_held
    assert not place.is_telling


async def test_a_client_that_takes_nothing_for_long_is_let_go(monkeypatch) -> None:
    monkeypatch.setattr(streaming, "PATIENCE_SECONDS", 0.01)
    client, place = Client(), Place()
    answering = asyncio.create_task(
        answer(
            EventStream(place.telling(b"one", b"two", ends=False), place.taking()),
            client.receive,
            client.send,
        )
    )
    await client.has_begun.wait()
    client.reads.clear()

    await answering

    assert not place.is_held
    assert not place.is_telling


async def test_a_client_that_takes_all_but_the_end_is_let_go(monkeypatch) -> None:
    monkeypatch.setattr(streaming, "PATIENCE_SECONDS", 0.01)
    client, place = Client(), Place()

    async def send_all_but_the_end(message: Message) -> None:
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            await asyncio.Event().wait()
        await client.send(message)

    async with asyncio.timeout(5):
        await answer(
            EventStream(place.telling(b"one", ends=True), place.taking()),
            client.receive,
            send_all_but_the_end,
        )

    assert client.text == b"one"
    assert not place.is_held


async def test_what_is_refused_on_opening_is_refused_before_the_answer_begins() -> None:
    client = Client()

    @asynccontextmanager
    async def refusing() -> AsyncIterator[Telling]:
        raise PermissionError("not now")
        yield

    try:
        await answer(EventStream(refusing(), nullcontext()), client.receive, client.send)
    except PermissionError:
        refused = True

    assert refused
    assert client.sent == []
