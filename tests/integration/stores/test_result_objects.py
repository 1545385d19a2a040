"""Every object is a result's, or goes: whatever happens between any two steps."""

import asyncio
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

import services
from kept_results import KeptResults, in_objects, in_rows
from orchestrator_core.attempts import ResultOnDisk, Settlement, Succeeded
from orchestrator_core.errors import SettingsError, StoreUnavailableError
from orchestrator_core.files import TaskResult
from orchestrator_core.postgres.database import Database
from orchestrator_core.postgres.result_store import PostgresResultStore
from orchestrator_core.postgres.task_store import TaskStore
from orchestrator_core.s3.object_store import (
    PART_BYTES,
    PRUNER,
    READER,
    WRITER,
    S3ObjectStore,
)
from orchestrator_core.settings import S3Settings
from orchestrator_core.testing import a_result
from own_stores import bucket_at, objects_in

A_DAY_LATER = "UPDATE stray_objects SET delete_at = delete_at - interval '1 day'"


@pytest.fixture
def kept(database: Database, s3_settings: S3Settings) -> KeptResults:
    return in_objects(database, s3_settings)


async def read_one(results: PostgresResultStore, result: TaskResult) -> bytes:
    return b"".join([piece async for piece in results.read(result, start=0, stop=1)])


async def test_a_settled_object_is_kept_for_good(
    kept: KeptResults, s3_service: services.Service, s3_settings: S3Settings
) -> None:
    await kept.complete(a_result(b"x"))

    await kept.execute(A_DAY_LATER)

    assert await kept.results.prune_objects(limit=10) == 0
    assert len(objects_in(s3_service, s3_settings)) == 1


async def test_an_object_whose_attempt_is_never_settled_goes_after_a_day(
    kept: KeptResults, s3_service: services.Service, s3_settings: S3Settings
) -> None:
    await kept.keep(await kept.claim(), a_result(b"x"))
    assert await kept.results.prune_objects(limit=10) == 0, "its worker may settle yet"
    assert len(objects_in(s3_service, s3_settings)) == 1

    await kept.execute(A_DAY_LATER)

    assert await kept.results.prune_objects(limit=10) == 1
    assert objects_in(s3_service, s3_settings) == set()
    assert await kept.results.prune_objects(limit=10) == 0


async def test_an_attempt_that_lost_its_lease_leaves_its_object_to_the_pruning(
    kept: KeptResults, s3_service: services.Service, s3_settings: S3Settings
) -> None:
    claim = await kept.claim()
    outcome = Succeeded(await kept.keep(claim, a_result(b"late")))
    stale = claim._replace(lease_token=uuid4())

    settled = await TaskStore(kept.database).settle([Settlement(claim=stale, outcome=outcome)])
    await kept.execute(A_DAY_LATER)

    assert settled == [False]
    assert await kept.results.prune_objects(limit=10) == 1
    assert objects_in(s3_service, s3_settings) == set()


async def test_an_announced_object_that_never_came_is_forgotten(kept: KeptResults) -> None:
    await PostgresResultStore(kept.database).expect("results/1/1-never")

    await kept.execute(A_DAY_LATER)

    assert [await kept.results.prune_objects(limit=10) for _ in range(2)] == [1, 0]


@pytest.mark.parametrize(
    "deletion",
    [
        "DELETE FROM tasks",
        "DELETE FROM task_results",
        "UPDATE task_results SET expires_at = now() - interval '1 s'",
    ],
    ids=["with-its-task", "by-itself", "by-expiry"],
)
async def test_an_object_goes_with_its_result(
    kept: KeptResults, s3_service: services.Service, s3_settings: S3Settings, deletion: str
) -> None:
    await kept.complete(a_result(b"x"))

    await kept.execute(deletion)
    await kept.results.prune(limit=10)

    assert await kept.results.prune_objects(limit=10) == 1
    assert objects_in(s3_service, s3_settings) == set()


async def test_objects_are_pruned_a_page_at_a_time(
    kept: KeptResults, s3_service: services.Service, s3_settings: S3Settings
) -> None:
    for _ in range(5):
        await kept.complete(a_result(b"x"))
    await kept.execute("DELETE FROM task_results")

    assert [await kept.results.prune_objects(limit=2) for _ in range(4)] == [2, 2, 1, 0]
    assert objects_in(s3_service, s3_settings) == set()


async def test_a_bucket_that_is_away_loses_no_key(
    kept: KeptResults, s3_settings: S3Settings
) -> None:
    await kept.complete(a_result(b"x"))
    await kept.execute("DELETE FROM task_results")
    away = replace(
        kept,
        results=PostgresResultStore(kept.database, S3ObjectStore(unreachable(s3_settings), READER)),
    )

    with pytest.raises(StoreUnavailableError):
        await away.results.prune_objects(limit=10)

    assert await kept.results.prune_objects(limit=10) == 1


async def test_pruning_waits_for_a_bucket_that_deletes_too_slowly_for_a_reader() -> None:
    answer = b"<DeleteResult><Deleted><Key>results/1/1-stray</Key></Deleted></DeleteResult>"

    async def delete_slowly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(READER.call_seconds + 0.1)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(answer) + answer)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(delete_slowly, "127.0.0.1", 0) as slow:
        settings = bucket_at(slow.sockets[0].getsockname()[1], "slow")
        await S3ObjectStore(settings, PRUNER).delete(["results/1/1-stray"])


async def test_a_bucket_that_is_away_is_named_and_no_secret_is(s3_settings: S3Settings) -> None:
    objects = S3ObjectStore(unreachable(s3_settings), READER)

    with pytest.raises(StoreUnavailableError, match="s3 did not answer: put some/key") as caught:
        await objects.put("some/key", b"x")

    assert services.S3_ACCESS_KEY not in str(caught.value)


async def test_a_refusal_says_why_and_tells_no_secret(s3_settings: S3Settings) -> None:
    wrong = s3_settings.model_copy(update={"bucket": "bucket-of-nobody"})

    with pytest.raises(StoreUnavailableError, match="NoSuchBucket") as caught:
        await S3ObjectStore(wrong, READER).put("some/key", b"x")

    assert services.S3_ACCESS_KEY not in str(caught.value)


async def test_wrong_credentials_are_refused_at_once(
    s3_service: services.Service, s3_settings: S3Settings
) -> None:
    given = bucket_at(s3_service.port, s3_settings.bucket or "").model_dump(by_alias=True)
    wrong = S3Settings(**{**given, "RESULTS_S3_SECRET_ACCESS_KEY": "something else"})

    with pytest.raises(StoreUnavailableError, match="SignatureDoesNotMatch"):
        await S3ObjectStore(wrong, READER).put("some/key", b"x")


async def test_a_large_file_comes_back_whole(kept: KeptResults, tmp_path: Path) -> None:
    content = bytes(range(256)) * (PART_BYTES // 256) + b"the rest of a second part"
    path = tmp_path / "large"
    path.write_bytes(content)

    task_id = await kept.complete(
        ResultOnDisk(path=path, content_type="video/mp4", file_name="video.mp4")
    )

    assert b"".join(await kept.read(task_id, start=0, stop=len(content))) == content


async def test_results_stay_readable_when_the_platform_changes_its_store(
    database: Database, s3_settings: S3Settings
) -> None:
    rows, objects = in_rows(database), in_objects(database, s3_settings)

    before = await rows.complete(a_result(b"row"))
    after = await objects.complete(a_result(b"object"))

    assert b"".join(await objects.read(before, start=0, stop=3)) == b"row"
    assert b"".join(await objects.read(after, start=0, stop=6)) == b"object"
    with pytest.raises(StoreUnavailableError, match="no object store is configured"):
        await rows.read(after, start=0, stop=6)


def test_settings_that_fit_no_bucket_stop_the_start(
    s3_settings: S3Settings, tmp_path: Path
) -> None:
    absent = s3_settings.model_copy(update={"ca_file": tmp_path / "absent.pem"})
    empty = tmp_path / "empty.pem"
    empty.write_text("no certificate")
    broken = s3_settings.model_copy(update={"ca_file": empty})

    for settings in (absent, broken):
        with pytest.raises(SettingsError, match="RESULTS_S3"):
            S3ObjectStore(settings, WRITER)


def unreachable(settings: S3Settings) -> S3Settings:
    """A bucket at a port where nobody listens."""
    assert settings.bucket is not None
    return bucket_at(services.free_port(), settings.bucket)
