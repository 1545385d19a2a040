"""What every store of results promises; another kind only has to be named in ``STORES``."""

import hashlib
from collections.abc import Callable, Mapping

import pytest

from orchestrator_core.errors import StoreUnavailableError
from orchestrator_core.files import PIECE_BYTES, ResultStore
from orchestrator_core.postgres.account_store import AccountStore
from orchestrator_core.postgres.database import Database
from orchestrator_core.postgres.result_store import PostgresResultStore
from orchestrator_core.tasks import TaskId

STORES: Mapping[str, Callable[[Database], ResultStore]] = {"postgres": PostgresResultStore}
SIZE_BYTES = 2 * PIECE_BYTES + 1_000
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
A_TASK = """
INSERT INTO tasks (user_id, task_type, payload, max_attempts, timeout_seconds, trace_context,
                   status, finished_at, result_file)
VALUES ($1, 'T', '{}', 3, 60, 'trace', 'COMPLETED', now(), 'result/x')
RETURNING id
"""
ITS_RESULT = """
INSERT INTO task_results (task_id, epoch, content, content_type, file_name, sha256)
VALUES ($1, 0, $2, 'image/png', 'image_1.png', $3)
"""


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, database: Database) -> ResultStore:
    return STORES[request.param](database)


async def a_completed_task(database: Database, content: bytes) -> TaskId:
    user_id = await AccountStore(database).insert("ada", "hash")
    async with database.answering("write a result") as connection:
        task_id = await connection.fetchval(A_TASK, user_id)
        digest = hashlib.sha256(content).digest()
        await connection.execute(ITS_RESULT, task_id, content, digest)
    return TaskId(task_id)


async def test_a_result_is_described_without_being_read(
    store: ResultStore, database: Database
) -> None:
    task_id = await a_completed_task(database, CONTENT)

    result = await store.find(task_id)

    assert result is not None
    assert (result.task_id, result.size_bytes) == (task_id, SIZE_BYTES)
    assert (result.file_name, result.content_type) == ("image_1.png", "image/png")
    assert result.sha256 == hashlib.sha256(CONTENT).digest()


async def test_a_task_without_a_result_has_none(store: ResultStore) -> None:
    assert await store.find(TaskId(1)) is None


async def test_any_part_can_be_read_in_pieces_of_bounded_size(
    store: ResultStore, database: Database
) -> None:
    result = await store.find(await a_completed_task(database, CONTENT))
    assert result is not None

    for start, stop in RANGES:
        pieces = [piece async for piece in store.read(result, start=start, stop=stop)]

        assert b"".join(pieces) == CONTENT[start:stop]
        assert all(0 < len(piece) <= PIECE_BYTES for piece in pieces)


async def test_content_that_vanishes_while_it_is_read_is_never_passed_off_as_whole(
    store: ResultStore, database: Database
) -> None:
    result = await store.find(await a_completed_task(database, CONTENT))
    assert result is not None
    pieces = store.read(result, start=0, stop=SIZE_BYTES)
    first = await anext(pieces)

    async with database.answering("delete a result") as connection:
        await connection.execute("DELETE FROM task_results")

    assert first == CONTENT[:PIECE_BYTES]
    with pytest.raises(StoreUnavailableError):
        await anext(pieces)
