"""What every store of results promises; another kind only has to be named in ``STORES``."""

import hashlib
from collections.abc import Callable, Mapping
from uuid import UUID

import pytest

from kept_tasks import keep_tasks
from orchestrator_core.attempts import Settlement, Succeeded
from orchestrator_core.errors import StoreUnavailableError
from orchestrator_core.files import PIECE_BYTES, ResultStore
from orchestrator_core.postgres.account_store import AccountStore
from orchestrator_core.postgres.database import Database
from orchestrator_core.postgres.result_store import PostgresResultStore
from orchestrator_core.postgres.task_store import TaskStore
from orchestrator_core.tasks import NewTask, TaskId
from orchestrator_core.testing import a_result

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


async def another_task(database: Database, number: int) -> TaskId:
    user_id = await AccountStore(database).insert(f"user-{number}", "hash")
    async with database.answering("write a result") as connection:
        task_id = await connection.fetchval(A_TASK, user_id)
        await connection.execute(ITS_RESULT, task_id, b"x", bytes(32))
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


async def test_results_are_found_until_they_expire_and_then_pruned(
    store: ResultStore, database: Database
) -> None:
    ids = [await another_task(database, number) for number in range(4)]
    async with database.answering("let results expire") as connection:
        await connection.execute(
            "UPDATE task_results SET expires_at = now() + (task_id - $1) * interval '1 hour'"
            " WHERE task_id < $2",
            ids[2],
            ids[3],
        )

    found = [await store.find(task_id) is not None for task_id in ids]

    assert found == [False, False, False, True], "the last one is kept for good"
    assert [await store.prune(limit=2) for _ in range(3)] == [2, 1, 0]
    async with database.answering("look") as connection:
        left = await connection.fetch("SELECT task_id FROM task_results")
    assert [row["task_id"] for row in left] == ids[3:]


async def test_a_settled_result_is_kept_for_as_long_as_the_store_was_told(
    database: Database,
) -> None:
    user_id = await AccountStore(database).insert("ada", "hash")
    kept: list[object] = []
    for seconds in (3600.0, None):
        [task_id] = await keep_tasks(
            database,
            [
                NewTask(
                    user_id=user_id,
                    task_type="any",
                    payload="{}",
                    max_attempts=1,
                    timeout_seconds=60,
                    trace_context="trace",
                )
            ],
        )
        tasks = TaskStore(database, keep_results_seconds=seconds)
        [claim] = await tasks.claim([task_id], worker_id=UUID(int=1), lease_seconds=30)
        await tasks.settle([Settlement(claim=claim, outcome=Succeeded(a_result()))])
        result = await PostgresResultStore(database).find(task_id)
        assert result is not None
        kept.append(result.expires_at and (result.expires_at - result.created_at).total_seconds())

    assert kept == [pytest.approx(3600, abs=5), None]
