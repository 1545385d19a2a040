"""What every store of results promises; another kind only has to be named in ``STORES``."""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from kept_results import KeptResults, in_objects, in_rows
from orchestrator_core.attempts import ResultOnDisk
from orchestrator_core.errors import StoreUnavailableError
from orchestrator_core.files import PIECE_BYTES
from orchestrator_core.postgres.database import Database
from orchestrator_core.settings import S3Settings
from orchestrator_core.tasks import TaskId
from orchestrator_core.testing import a_result

SIZE_BYTES = 6 * PIECE_BYTES + 1_000
"""More than an object store is asked for at once."""
CONTENT = (bytes(range(256)) * (SIZE_BYTES // 256 + 1))[:SIZE_BYTES]
RANGES = (
    (0, 0),
    (0, SIZE_BYTES),
    (0, 1),
    (SIZE_BYTES - 1, SIZE_BYTES),
    (PIECE_BYTES - 1, PIECE_BYTES + 1),
    (1, SIZE_BYTES),
)
"""Starts and stops: within a piece, across two, at both ends."""


STORES: Mapping[str, Callable[[Database, S3Settings], KeptResults]] = {
    "postgres": lambda database, _: in_rows(database),
    "s3": in_objects,
}


@pytest.fixture(params=STORES)
def kept(
    request: pytest.FixtureRequest, database: Database, s3_settings: S3Settings
) -> KeptResults:
    return STORES[request.param](database, s3_settings)


async def test_a_result_is_described_without_being_read(kept: KeptResults) -> None:
    task_id = await kept.complete(a_result(CONTENT))

    result = await kept.results.find(task_id)

    assert result is not None
    assert (result.task_id, result.size_bytes) == (task_id, SIZE_BYTES)
    assert (result.file_name, result.content_type) == (f"file_{task_id}.txt", "text/plain")
    assert result.sha256 == hashlib.sha256(CONTENT).digest()


async def test_a_task_without_a_result_has_none(kept: KeptResults) -> None:
    assert await kept.results.find(TaskId(1)) is None


async def test_any_part_can_be_read_in_pieces_of_bounded_size(kept: KeptResults) -> None:
    task_id = await kept.complete(a_result(CONTENT))

    for start, stop in RANGES:
        pieces = await kept.read(task_id, start=start, stop=stop)

        assert b"".join(pieces) == CONTENT[start:stop]
        assert all(0 < len(piece) <= PIECE_BYTES for piece in pieces)


async def test_a_result_on_disk_is_kept_like_one_in_memory(
    kept: KeptResults, tmp_path: Path
) -> None:
    path = tmp_path / "result"
    path.write_bytes(CONTENT)

    task_id = await kept.complete(
        ResultOnDisk(path=path, content_type="image/png", file_name="image.png")
    )
    path.unlink()

    result = await kept.results.find(task_id)
    assert result is not None
    assert (result.file_name, result.content_type) == (f"image_{task_id}.png", "image/png")
    assert (result.size_bytes, result.sha256) == (SIZE_BYTES, hashlib.sha256(CONTENT).digest())
    assert b"".join(await kept.read(task_id, start=0, stop=SIZE_BYTES)) == CONTENT


async def test_an_empty_result_is_a_result(kept: KeptResults) -> None:
    task_id = await kept.complete(a_result(b""))

    result = await kept.results.find(task_id)

    assert result is not None
    assert (result.size_bytes, result.sha256) == (0, hashlib.sha256(b"").digest())
    assert await kept.read(task_id, start=0, stop=0) == []


async def test_content_that_vanishes_while_it_is_read_is_never_passed_off_as_whole(
    kept: KeptResults,
) -> None:
    result = await kept.results.find(await kept.complete(a_result(CONTENT)))
    assert result is not None
    pieces = kept.results.read(result, start=0, stop=SIZE_BYTES)
    read = await anext(pieces)

    await kept.execute("DELETE FROM task_results")
    await kept.results.prune_objects(limit=10)

    with pytest.raises(StoreUnavailableError):
        read += b"".join([piece async for piece in pieces])
    assert CONTENT.startswith(read)
    assert len(read) < SIZE_BYTES


async def test_results_are_found_until_they_expire_and_then_pruned(kept: KeptResults) -> None:
    ids = [await kept.complete(a_result(b"x")) for _ in range(4)]
    await kept.execute(
        "UPDATE task_results SET expires_at = now() + (task_id - $1) * interval '1 hour'"
        " WHERE task_id < $2",
        ids[2],
        ids[3],
    )

    found = [await kept.results.find(task_id) is not None for task_id in ids]

    assert found == [False, False, False, True], "the last one is kept for good"
    assert [await kept.results.prune(limit=2) for _ in range(3)] == [2, 1, 0]
    assert b"".join(await kept.read(ids[3], start=0, stop=1)) == b"x"


async def test_a_settled_result_is_kept_for_as_long_as_the_store_was_told(
    kept: KeptResults,
) -> None:
    lives: list[object] = []
    for seconds in (3600.0, None):
        result = await kept.results.find(await kept.complete(a_result(), for_seconds=seconds))
        assert result is not None
        lives.append(result.expires_at and (result.expires_at - result.created_at).total_seconds())

    assert lives == [pytest.approx(3600, abs=5), None]
