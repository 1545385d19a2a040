"""What every store of uploads promises; another kind only has to be named in ``STORES``."""

import asyncio
import hashlib
from collections.abc import Callable, Mapping

import pytest

from orchestrator_core.errors import QuotaExceededError, StoreUnavailableError
from orchestrator_core.files import (
    LEAST_COUNTED_BYTES,
    PIECE_BYTES,
    FileId,
    NewUpload,
    UploadedFile,
    UploadRules,
    UploadStore,
)
from orchestrator_core.postgres import file_store
from orchestrator_core.postgres.account_store import AccountStore
from orchestrator_core.postgres.database import Database
from orchestrator_core.postgres.file_store import PostgresUploadStore
from orchestrator_core.tasks import UserId

STORES: Mapping[str, Callable[[Database], UploadStore]] = {"postgres": PostgresUploadStore}
RULES = UploadRules(quota_bytes=4 << 20, upload_seconds=60, keep_seconds=60)
SIZE_BYTES = 2 * PIECE_BYTES + 1_000
CONTENT = (bytes(range(256)) * (SIZE_BYTES // 256 + 1))[:SIZE_BYTES]
RANGES = (
    (0, 0),
    (0, 1),
    (SIZE_BYTES - 1, SIZE_BYTES),
    (PIECE_BYTES - 1, PIECE_BYTES + 1),
    (PIECE_BYTES, 2 * PIECE_BYTES),
    (1, SIZE_BYTES),
)
"""Starts and stops: within a piece, across two, at both ends."""


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, database: Database) -> UploadStore:
    return STORES[request.param](database)


def an_upload(user_id: UserId, *, announced_bytes: int | None = None) -> NewUpload:
    return NewUpload(
        user_id=user_id,
        file_name="photo.jpg",
        content_type="image/jpeg",
        announced_bytes=announced_bytes,
    )


async def a_file(
    store: UploadStore,
    user_id: UserId,
    content: bytes = b"a little file",
    *,
    rules: UploadRules = RULES,
    is_announced: bool = True,
) -> UploadedFile:
    upload = an_upload(user_id, announced_bytes=len(content) if is_announced else None)
    async with store.receiving(upload, rules) as writer:
        for start in range(0, len(content), PIECE_BYTES):
            await writer.append(content[start : start + PIECE_BYTES])
        return await writer.finish()


async def content_of(store: UploadStore, file: UploadedFile, start: int, stop: int) -> bytes:
    return b"".join([piece async for piece in store.read(file, start=start, stop=stop)])


async def outcome_of(
    store: UploadStore,
    user_id: UserId,
    content: bytes,
    *,
    rules: UploadRules,
    is_announced: bool = True,
) -> str:
    try:
        await a_file(store, user_id, content, rules=rules, is_announced=is_announced)
    except QuotaExceededError:
        return "refused"
    return "kept"


@pytest.mark.parametrize("is_announced", [True, False])
async def test_a_file_is_found_as_it_came_in(
    store: UploadStore, user_id: UserId, *, is_announced: bool
) -> None:
    kept = await a_file(store, user_id, CONTENT, is_announced=is_announced)

    found = await store.find(kept.id)
    assert found == kept
    assert (kept.user_id, kept.size_bytes) == (user_id, SIZE_BYTES)
    assert (kept.file_name, kept.content_type) == ("photo.jpg", "image/jpeg")
    assert kept.sha256 == hashlib.sha256(CONTENT).digest()
    assert kept.created_at < kept.expires_at
    assert await content_of(store, kept, 0, SIZE_BYTES) == CONTENT


async def test_any_part_can_be_read_in_pieces_of_bounded_size(
    store: UploadStore, user_id: UserId
) -> None:
    kept = await a_file(store, user_id, CONTENT)

    for start, stop in RANGES:
        pieces = [piece async for piece in store.read(kept, start=start, stop=stop)]

        assert b"".join(pieces) == CONTENT[start:stop]
        assert all(0 < len(piece) <= PIECE_BYTES for piece in pieces)


async def test_pieces_of_any_size_make_the_same_file(store: UploadStore, user_id: UserId) -> None:
    async with store.receiving(an_upload(user_id), RULES) as writer:
        for piece in (b"", b"a", b"", b"bc", b"d" * 1_000):
            await writer.append(piece)
        kept = await writer.finish()

    assert await content_of(store, kept, 0, kept.size_bytes) == b"abc" + b"d" * 1_000


async def test_an_empty_file_is_a_file(store: UploadStore, user_id: UserId) -> None:
    kept = await a_file(store, user_id, b"")

    assert await store.find(kept.id) == kept
    assert kept.sha256 == hashlib.sha256(b"").digest()
    assert await content_of(store, kept, 0, 0) == b""


async def test_what_is_still_coming_in_is_neither_found_nor_listed(
    store: UploadStore, user_id: UserId
) -> None:
    earlier = await a_file(store, user_id)
    async with store.receiving(an_upload(user_id), RULES) as writer:
        await writer.append(b"half of it")

        found = await store.find(FileId(earlier.id + 1))
        listed = await store.list_for_user(user_id, after=FileId(0), limit=10)

    assert found is None
    assert listed == [earlier]


async def test_what_is_not_finished_leaves_nothing(store: UploadStore, user_id: UserId) -> None:
    rules = UploadRules(quota_bytes=SIZE_BYTES, upload_seconds=60, keep_seconds=60)

    async def hang_up() -> None:
        async with store.receiving(an_upload(user_id, announced_bytes=SIZE_BYTES), rules) as writer:
            await writer.append(CONTENT[:PIECE_BYTES])
            raise ConnectionError

    with pytest.raises(ConnectionError):
        await hang_up()

    assert await store.prune(limit=10) == 0
    assert await outcome_of(store, user_id, CONTENT, rules=rules) == "kept"


async def test_an_upload_whose_process_died_counts_no_more_when_its_time_is_over(
    store: UploadStore, user_id: UserId
) -> None:
    rules = UploadRules(quota_bytes=SIZE_BYTES, upload_seconds=0, keep_seconds=60)
    async with store.receiving(an_upload(user_id, announced_bytes=SIZE_BYTES), rules) as writer:
        await writer.append(b"half of it")

        second = await outcome_of(store, user_id, CONTENT, rules=rules)
        pruned = await store.prune(limit=10)
        with pytest.raises(StoreUnavailableError):
            await writer.append(b"the other half")
        with pytest.raises(StoreUnavailableError):
            await writer.finish()

    assert (second, pruned) == ("kept", 1)


@pytest.mark.parametrize("is_announced", [True, False])
async def test_of_uploads_that_race_only_as_many_are_kept_as_the_quota_has_room_for(
    store: UploadStore, user_id: UserId, *, is_announced: bool
) -> None:
    content = b"x" * 100_000
    rules = UploadRules(quota_bytes=350_000, upload_seconds=60, keep_seconds=60)

    outcomes = await asyncio.gather(
        *(
            outcome_of(store, user_id, content, rules=rules, is_announced=is_announced)
            for _ in range(10)
        )
    )

    listed = await store.list_for_user(user_id, after=FileId(0), limit=10)
    assert outcomes.count("kept") == len(listed)
    assert sum(file.size_bytes for file in listed) <= rules.quota_bytes
    assert 1 <= len(listed) <= 3
    if is_announced:
        assert len(listed) == 3


async def test_a_quota_is_used_up_to_its_last_byte(store: UploadStore, user_id: UserId) -> None:
    rules = UploadRules(quota_bytes=SIZE_BYTES, upload_seconds=60, keep_seconds=60)

    too_much = await outcome_of(store, user_id, CONTENT + b"!", rules=rules, is_announced=False)
    exact = await outcome_of(store, user_id, CONTENT, rules=rules, is_announced=False)
    one_more = await outcome_of(store, user_id, b"", rules=rules)

    assert (too_much, exact, one_more) == ("refused", "kept", "refused")


async def test_the_quota_of_one_user_is_not_that_of_another(
    store: UploadStore, user_id: UserId, database: Database
) -> None:
    rules = UploadRules(quota_bytes=SIZE_BYTES, upload_seconds=60, keep_seconds=60)
    other = await AccountStore(database).insert("grace", "hash")
    await a_file(store, user_id, CONTENT, rules=rules)

    assert await outcome_of(store, other, CONTENT, rules=rules) == "kept"


async def test_even_empty_files_are_bounded_in_number(store: UploadStore, user_id: UserId) -> None:
    rules = UploadRules(quota_bytes=3 * LEAST_COUNTED_BYTES, upload_seconds=60, keep_seconds=60)

    outcomes = [await outcome_of(store, user_id, b"", rules=rules) for _ in range(4)]

    assert outcomes == ["kept", "kept", "kept", "refused"]


async def test_an_upload_may_bring_more_than_it_announced_within_the_quota(
    store: UploadStore, user_id: UserId
) -> None:
    async with store.receiving(an_upload(user_id, announced_bytes=1), RULES) as writer:
        await writer.append(CONTENT)
        kept = await writer.finish()

    assert kept.size_bytes == SIZE_BYTES


async def test_a_deleted_file_is_gone_with_its_content_and_frees_its_room(
    store: UploadStore, user_id: UserId
) -> None:
    rules = UploadRules(quota_bytes=SIZE_BYTES, upload_seconds=60, keep_seconds=60)
    kept = await a_file(store, user_id, CONTENT, rules=rules)

    await store.delete(kept.id)
    await store.delete(kept.id)

    assert await store.find(kept.id) is None
    with pytest.raises(StoreUnavailableError):
        await content_of(store, kept, 0, SIZE_BYTES)
    assert await outcome_of(store, user_id, CONTENT, rules=rules) == "kept"


async def test_content_that_vanishes_while_it_is_read_is_never_passed_off_as_whole(
    store: UploadStore, user_id: UserId
) -> None:
    kept = await a_file(store, user_id, CONTENT)
    pieces = store.read(kept, start=0, stop=SIZE_BYTES)
    first = await anext(pieces)

    await store.delete(kept.id)

    assert first == CONTENT[:PIECE_BYTES]
    with pytest.raises(StoreUnavailableError):
        await anext(pieces)


async def test_an_expired_file_is_not_found_counts_no_more_and_is_pruned(
    store: UploadStore, user_id: UserId
) -> None:
    brief = UploadRules(quota_bytes=SIZE_BYTES, upload_seconds=60, keep_seconds=0)
    expired = [await a_file(store, user_id, CONTENT, rules=brief) for _ in range(3)]
    lasting = await a_file(store, user_id)

    found = [await store.find(file.id) for file in expired]
    listed = await store.list_for_user(user_id, after=FileId(0), limit=10)
    pruned = [await store.prune(limit=2) for _ in range(3)]

    assert found == [None, None, None]
    assert listed == [lasting]
    assert pruned == [2, 1, 0]
    assert await store.find(lasting.id) == lasting


async def test_files_are_listed_page_by_page_in_the_order_of_their_ids(
    store: UploadStore, user_id: UserId
) -> None:
    kept = [await a_file(store, user_id, f"{n}".encode()) for n in range(3)]

    first = await store.list_for_user(user_id, after=FileId(0), limit=2)
    second = await store.list_for_user(user_id, after=first[-1].id, limit=2)

    assert first + second == kept


async def test_a_whole_file_is_read_many_pieces_at_a_time(
    store: UploadStore, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_store, "PIECES_AT_ONCE", 2)
    user_id = await AccountStore(database).insert("whole", "hash")
    pieces = [bytes([number]) * (PIECE_BYTES - number) for number in range(5)]
    new = NewUpload(user_id=user_id, file_name="a.bin", content_type="a/b", announced_bytes=None)
    rules = UploadRules(quota_bytes=1 << 30, upload_seconds=60, keep_seconds=60)
    async with store.receiving(new, rules) as writer:
        for piece in pieces:
            await writer.append(piece)
        file = await writer.finish()

    assert [piece async for piece in store.read_whole(file)] == pieces
    await store.delete(file.id)
    with pytest.raises(StoreUnavailableError):
        _ = [piece async for piece in store.read_whole(file)]
