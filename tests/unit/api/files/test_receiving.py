"""Uploads come in piece by piece, in time, and of a type and size that is taken."""

import asyncio
import inspect
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from orchestrator_api.bounds import Allowance
from orchestrator_api.errors import (
    BodyTooLargeError,
    BodyTooSlowError,
    RateLimitedError,
    UnsupportedMediaTypeError,
)
from orchestrator_api.files.receiving import Receiving, ReceivingRules, gather_pieces
from orchestrator_api.places import Places
from orchestrator_core.files import (
    PIECE_BYTES,
    FileId,
    NewUpload,
    UploadedFile,
    UploadRules,
    UploadStore,
)
from orchestrator_core.tasks import UserId

ADA = UserId(1)
NOW = datetime(2026, 1, 1, tzinfo=UTC)
JPEG = {"content-type": "image/jpeg"}


@dataclass
class MemoryStore:
    """The receiving side of a store."""

    pieces: list[bytes] = field(default_factory=list)
    is_finished: bool = False
    is_dropped: bool = False

    @asynccontextmanager
    async def receiving(self, _new: NewUpload, _rules: UploadRules) -> AsyncIterator["MemoryStore"]:
        try:
            yield self
        finally:
            self.is_dropped = not self.is_finished

    async def append(self, piece: bytes) -> None:
        self.pieces.append(piece)

    async def finish(self) -> UploadedFile:
        self.is_finished = True
        return UploadedFile(
            id=FileId(1),
            user_id=ADA,
            size_bytes=sum(map(len, self.pieces)),
            sha256=b"",
            content_type="image/jpeg",
            file_name="photo.jpg",
            created_at=NOW,
            expires_at=NOW,
        )


class NoBounds:
    """An allowance that allows everything."""

    def take_seconds(self, seconds: float) -> None: ...

    def stream_body(self, limit_bytes: int) -> None: ...

    def drop_body(self) -> None: ...


def a_receiving(
    store: MemoryStore | None = None,
    *,
    piece_seconds: float = 5,
    upload_seconds: float = 5,
    per_user: int = 2,
) -> Receiving:
    rules = ReceivingRules(
        limit_bytes=1_000,
        types=("image/*", "text/csv"),
        piece_seconds=piece_seconds,
        kept=UploadRules(quota_bytes=2_000, upload_seconds=upload_seconds, keep_seconds=60),
    )
    places = Places("uploads", total=10, per_user=per_user)
    return Receiving(cast("UploadStore", store or MemoryStore()), places, rules)


async def receive(receiving: Receiving, chunks: AsyncIterator[bytes]) -> UploadedFile:
    new = receiving.announce(JPEG, user_id=ADA, name="photo.jpg")
    return await receiving.receive(new, chunks, cast("Allowance", NoBounds()))


async def chunks_of(*sizes: int) -> AsyncIterator[bytes]:
    for size in sizes:
        yield b"x" * size


async def drip() -> AsyncIterator[bytes]:
    """A byte each time somebody looks, and never an end."""
    while True:
        yield b"x"
        await asyncio.sleep(0.001)


async def nothing() -> AsyncIterator[bytes]:
    await asyncio.Event().wait()
    yield b""


@pytest.mark.parametrize(
    ("sizes", "pieces"),
    [
        ((), []),
        ((0, 0), []),
        ((1, 2), [3]),
        ((PIECE_BYTES,), [PIECE_BYTES]),
        ((PIECE_BYTES - 1, 2), [PIECE_BYTES, 1]),
        ((1, 3 * PIECE_BYTES), [PIECE_BYTES, PIECE_BYTES, PIECE_BYTES, 1]),
        ((65_536,) * 9, [PIECE_BYTES, PIECE_BYTES, 65_536]),
    ],
)
async def test_chunks_of_any_size_become_pieces_of_one(
    sizes: tuple[int, ...], pieces: list[int]
) -> None:
    assert [len(piece) async for piece in gather_pieces(chunks_of(*sizes))] == pieces


async def test_a_body_that_comes_in_time_is_kept_whole() -> None:
    store = MemoryStore()

    file = await receive(a_receiving(store), chunks_of(10, 20))

    assert (file.size_bytes, store.is_finished, store.is_dropped) == (30, True, False)


@pytest.mark.parametrize("body", [nothing, drip])
@pytest.mark.parametrize(
    "bounds", [{"piece_seconds": 0.02}, {"upload_seconds": 0.02}], ids=["piece", "whole"]
)
async def test_a_body_that_does_not_come_in_time_is_refused_and_dropped(
    body: Any, bounds: dict[str, float]
) -> None:
    store = MemoryStore()

    with pytest.raises(BodyTooSlowError, match="expected 262144 bytes within"):
        await receive(a_receiving(store, **bounds), body())  # type: ignore[arg-type]

    assert store.is_dropped


async def test_a_body_that_breaks_off_is_dropped_and_its_place_is_free() -> None:
    store = MemoryStore()
    receiving = a_receiving(store, per_user=1)

    async def breaks_off() -> AsyncIterator[bytes]:
        yield b"x"
        raise ConnectionError

    with pytest.raises(ConnectionError):
        await receive(receiving, breaks_off())

    assert store.is_dropped
    assert (await receive(receiving, chunks_of(1))).size_bytes == 1


async def test_a_user_has_only_so_many_uploads_under_way() -> None:
    receiving = a_receiving(per_user=1)
    first = asyncio.create_task(receive(receiving, nothing()))
    await asyncio.sleep(0)

    with pytest.raises(RateLimitedError):
        await receive(receiving, chunks_of(1))

    first.cancel()
    await asyncio.gather(first, return_exceptions=True)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"content-type": ""},
        {"content-type": "image"},
        {"content-type": "application/x-msdownload"},
        {"content-type": "text/html"},
        {"content-type": "multipart/form-data; boundary=x"},
        {**JPEG, "content-encoding": "gzip"},
    ],
)
def test_another_type_is_refused_with_those_that_are_taken(headers: dict[str, str]) -> None:
    with pytest.raises(UnsupportedMediaTypeError, match=r"expected the file itself"):
        a_receiving().announce(headers, user_id=ADA, name="photo.jpg")


@pytest.mark.parametrize("length", ["1001", "9" * 30])
def test_a_length_over_the_limit_is_refused_before_anything_comes(length: str) -> None:
    headers = {**JPEG, "content-length": length}

    with pytest.raises(BodyTooLargeError):
        a_receiving().announce(headers, user_id=ADA, name="photo.jpg")


@pytest.mark.parametrize(
    ("length", "announced"), [(None, None), ("1000", 1_000), ("0", 0), ("-1", None), ("٣", None)]
)
def test_what_a_client_announces_is_reserved(length: str | None, announced: int | None) -> None:
    headers = JPEG if length is None else {**JPEG, "content-length": length}

    new = a_receiving().announce(headers, user_id=ADA, name="photo.jpg")

    assert (new.announced_bytes, new.content_type) == (announced, "image/jpeg")


def test_the_fake_allowance_is_as_wide_as_the_real_one() -> None:
    def methods(each: type) -> set[str]:
        return {name for name, _ in inspect.getmembers(each, inspect.isfunction) if name[0] != "_"}

    assert methods(Allowance) == methods(NoBounds)
