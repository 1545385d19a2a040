"""A file as a download that no browser will ever run, and never half of one as a whole."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import nullcontext
from datetime import UTC, datetime

import pytest
from starlette.responses import Response
from starlette.types import Message

from orchestrator_api.errors import RangeNotSatisfiableError
from orchestrator_api.files import downloads
from orchestrator_api.files.downloads import Asked, build_download
from orchestrator_api.files.ranges import ByteRange
from orchestrator_api.places import Places
from orchestrator_core.errors import StoreUnavailableError
from orchestrator_core.files import FileFacts
from orchestrator_core.tasks import UserId

CONTENT = b"a picture, more or less"
ETAG = f'"{hashlib.sha256(CONTENT).hexdigest()}"'


def a_file(file_name: str = "image_7.jpg", content_type: str = "image/jpeg") -> FileFacts:
    return FileFacts(
        size_bytes=len(CONTENT),
        sha256=hashlib.sha256(CONTENT).digest(),
        content_type=content_type,
        file_name=file_name,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


async def read(part: ByteRange) -> AsyncGenerator[bytes, None]:
    for start in range(part.start, part.stop, 4):
        yield CONTENT[start : min(start + 4, part.stop)]


def build(asked: Asked = Asked(), file: FileFacts | None = None) -> Response:  # noqa: B008 - frozen
    return build_download(file or a_file(), asked, read, nullcontext())


class Client:
    """One request's channels; the client reads all and then stays."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.gone = asyncio.Event()

    async def receive(self) -> Message:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        self.messages.append(message)

    @property
    def body(self) -> bytes:
        return b"".join(each.get("body", b"") for each in self.messages)

    @property
    def is_whole(self) -> bool:
        """Whether the answer was said to be over."""
        last = self.messages[-1]
        return last["type"] == "http.response.body" and not last.get("more_body", False)


async def deliver(answer: Response, client: Client | None = None) -> Client:
    client = client or Client()
    await answer({"type": "http"}, client.receive, client.send)
    return client


async def test_a_download_carries_the_file_its_type_and_its_name() -> None:
    answer = build()

    client = await deliver(answer)

    assert answer.status_code == 200
    assert (client.body, client.is_whole) == (CONTENT, True)
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.headers["content-length"] == str(len(CONTENT))
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["etag"] == ETAG
    assert answer.headers["content-disposition"].startswith('attachment; filename="image_7.jpg"')
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"] == "default-src 'none'; sandbox"


@pytest.mark.parametrize(
    ("asked", "status", "body"),
    [
        (Asked(range="bytes=0-3"), 206, b"a pi"),
        (Asked(range="bytes=-4"), 206, b"less"),
        (Asked(range="bytes=2-"), 206, CONTENT[2:]),
        (Asked(range="bytes=0-1,3-4"), 200, CONTENT),
        (Asked(range="lines=0-1"), 200, CONTENT),
        (Asked(range="bytes=0-3", if_range=ETAG), 206, b"a pi"),
        (Asked(range="bytes=0-3", if_range='"other"'), 200, CONTENT),
        (Asked(range="bytes=0-3", if_range=f"W/{ETAG}"), 200, CONTENT),
        (Asked(range="bytes=0-3", if_range="Thu, 01 Jan 2026 00:00:00 GMT"), 200, CONTENT),
        (Asked(range="bytes=900-", if_range='"other"'), 200, CONTENT),
        (Asked(range="bytes=0-3", if_none_match='"other"'), 206, b"a pi"),
        (Asked(range="bytes=900-", if_none_match=ETAG), 304, b""),
        (Asked(is_head=True), 200, b""),
        (Asked(is_head=True, range="bytes=0-3"), 200, b""),
        (Asked(is_head=True, range="bytes=900-"), 200, b""),
        (Asked(is_head=True, if_none_match=ETAG), 304, b""),
    ],
)
async def test_a_client_gets_the_part_that_it_lacks(asked: Asked, status: int, body: bytes) -> None:
    answer = build(asked)

    client = await deliver(answer)

    assert (answer.status_code, client.body, client.is_whole) == (status, body, True)
    assert ("content-range" in answer.headers) == (status == 206)
    if status == 206:
        start = CONTENT.index(body)
        whole = f"bytes {start}-{start + len(body) - 1}/{len(CONTENT)}"
        assert answer.headers["content-range"] == whole
        assert answer.headers["content-length"] == str(len(body))
    if asked.is_head and status == 200:
        assert answer.headers["content-length"] == str(len(CONTENT))


def test_a_part_outside_the_file_is_refused() -> None:
    with pytest.raises(RangeNotSatisfiableError):
        build(Asked(range="bytes=900-"))


@pytest.mark.parametrize("shape", ["{etag}", "W/{etag}", '"other", {etag}', "*"])
def test_a_client_that_has_it_already_gets_304_without_the_file(shape: str) -> None:
    answer = build(Asked(if_none_match=shape.format(etag=ETAG)))

    assert (answer.status_code, answer.body) == (304, b"")
    assert answer.headers["etag"] == ETAG


@pytest.mark.parametrize("content_type", ["", "text", "text/html\r\nX: y", "a/b/c"])
def test_an_unsound_content_type_becomes_plain_bytes(content_type: str) -> None:
    answer = build(file=a_file(content_type=content_type))

    assert answer.headers["content-type"] == "application/octet-stream"


async def broken_read(part: ByteRange) -> AsyncGenerator[bytes, None]:
    del part
    yield CONTENT[:4]
    raise StoreUnavailableError("postgres", "read file 7")


async def test_a_store_that_fails_in_between_never_makes_a_short_answer_look_whole() -> None:
    answer = build_download(a_file(), Asked(), broken_read, nullcontext())

    client = await deliver(answer)

    assert client.body == CONTENT[:4]
    assert not client.is_whole


async def no_read(part: ByteRange) -> AsyncGenerator[bytes, None]:
    del part
    raise StoreUnavailableError("postgres", "read file 7")
    yield b""


async def test_a_store_that_is_away_at_once_is_an_error_before_any_answer() -> None:
    answer = build_download(a_file(), Asked(), no_read, nullcontext())
    client = Client()

    with pytest.raises(StoreUnavailableError):
        await deliver(answer, client)

    assert client.messages == []


async def test_nothing_more_is_read_for_a_client_that_has_gone() -> None:
    client, asked_for = Client(), asyncio.Queue[int]()
    places = Places("downloads", total=1, per_user=1)

    async def endless(part: ByteRange) -> AsyncGenerator[bytes, None]:
        for n in range(part.stop):
            asked_for.put_nowait(n)
            yield b"x"
            if n == 1:
                await asyncio.Event().wait()

    answer = build_download(a_file(), Asked(), endless, places.taking(UserId(1)))
    delivering = asyncio.create_task(deliver(answer, client))
    assert [await asked_for.get() for _ in range(2)] == [0, 1]
    taken = places.taken_count

    client.gone.set()
    await delivering

    assert (taken, places.taken_count) == (1, 0)
    assert asked_for.empty()
    assert not client.is_whole


async def test_a_client_that_reads_nothing_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "SEND_SECONDS", 0.01)

    class Stalled(Client):
        async def send(self, message: Message) -> None:
            await super().send(message)
            if message["type"] == "http.response.body":
                await asyncio.Event().wait()

    client = await deliver(build(), Stalled())

    assert client.body == CONTENT[:4]
    assert not client.is_whole


async def test_a_client_that_takes_all_but_the_end_is_let_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(downloads, "SEND_SECONDS", 0.01)

    class StalledAtTheEnd(Client):
        async def send(self, message: Message) -> None:
            if message["type"] == "http.response.body" and not message.get("more_body", False):
                await asyncio.Event().wait()
            await super().send(message)

    async with asyncio.timeout(5):
        client = await deliver(build(), StalledAtTheEnd())

    assert client.body == CONTENT
    assert not client.is_whole


@pytest.fixture(autouse=True)
async def no_task_left_behind() -> AsyncIterator[None]:
    before = asyncio.all_tasks()
    yield
    assert asyncio.all_tasks() <= before | {asyncio.current_task()}
