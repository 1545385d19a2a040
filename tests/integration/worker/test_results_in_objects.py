"""Workers with a bucket: results lie there, and a bucket that is away delays, never loses."""

import asyncio
import hashlib
import signal
from collections.abc import AsyncIterator

import pytest

import services
from orchestrator_core.settings import S3Settings
from orchestrator_core.tasks import TaskId, TaskStatus
from own_stores import bucket_at, objects_in
from tcp_proxy import TcpProxy, proxies
from worker_bench import Bench, until


@pytest.fixture
async def proxy(s3_service: services.Service) -> AsyncIterator[TcpProxy]:
    with proxies(s3_service.port) as [passing]:
        yield passing


@pytest.fixture
def proxied(proxy: TcpProxy, s3_settings: S3Settings) -> S3Settings:
    assert s3_settings.bucket is not None
    return bucket_at(proxy.port, s3_settings.bucket)


async def row_of(bench: Bench, task_id: TaskId) -> tuple[object, ...]:
    [row] = await bench.rows(
        "SELECT content, object_key, object_bytes, sha256 FROM task_results WHERE task_id = $1",
        task_id,
    )
    return tuple(row)


@pytest.mark.parametrize(
    ("task_type", "payload"),
    [
        ("IMAGE_RESIZE", {"width": 320}),
        ("DATA_EXPORT", {"format": "csv"}),
        ("cleanup_temp", {}),
    ],
    ids=["in-memory", "on-disk", "of-an-async-handler"],
)
async def test_a_result_lies_in_the_bucket_and_its_row_says_where(
    bench: Bench,
    s3_service: services.Service,
    s3_settings: S3Settings,
    task_type: str,
    payload: dict[str, object],
) -> None:
    await (await bench.start_worker(s3=s3_settings)).ready()

    task = await bench.finished(await bench.submit(task_type, payload=payload))

    assert (task.status, task.attempts) == (TaskStatus.COMPLETED, 1), task.error_message
    [key] = objects_in(s3_service, s3_settings)
    kept = s3_service.home / "data" / str(s3_settings.bucket) / s3_settings.prefix / key
    content = kept.read_bytes()
    assert await row_of(bench, task.id) == (
        *(None, key, len(content), hashlib.sha256(content).digest()),
    )
    assert await bench.rows("SELECT key FROM stray_objects") == []


async def test_a_bucket_that_comes_back_gets_the_result_of_the_same_attempt(
    bench: Bench, proxy: TcpProxy, proxied: S3Settings
) -> None:
    proxy.stop()
    worker = await bench.start_worker(s3=proxied)
    await worker.ready()
    task_id = await bench.submit("demo_sleep", payload={"seconds": 0})

    async def is_expected() -> bool:
        return bool(await bench.rows("SELECT key FROM stray_objects"))

    await until(is_expected)
    # Longer than the lease, which is kept meanwhile.
    await asyncio.sleep(2)
    proxy.heal()

    task = await bench.finished(task_id)
    assert (task.status, task.attempts) == (TaskStatus.COMPLETED, 1)


async def test_a_bucket_that_refuses_costs_an_attempt_and_says_so(
    bench: Bench, s3_settings: S3Settings
) -> None:
    absent = s3_settings.model_copy(update={"bucket": "bucket-of-nobody"})
    worker = await bench.start_worker(s3=absent)
    await worker.ready()

    task_id = await bench.submit("demo_sleep", payload={"seconds": 0}, max_attempts=1)
    task = await bench.finished(task_id)

    assert (task.status, task.error_code) == (TaskStatus.FAILED, "ATTEMPTS_EXHAUSTED")
    assert task.error_message == "s3 did not answer"
    [line] = worker.lines("result_not_kept")
    assert "NoSuchBucket" in line["error"]


async def test_a_worker_ends_in_time_although_its_bucket_is_away(
    bench: Bench, proxy: TcpProxy, proxied: S3Settings
) -> None:
    proxy.swallow()
    worker = await bench.start_worker(s3=proxied, DRAIN_SECONDS=1)
    await worker.ready()
    task_id = await bench.submit("demo_sleep", payload={"seconds": 0})

    async def is_expected() -> bool:
        return bool(await bench.rows("SELECT key FROM stray_objects"))

    await until(is_expected)
    worker.signal(signal.SIGTERM)

    assert await worker.ended() == 0
    assert await bench.kinds(task_id) == ["ACCEPTED", "CLAIMED", "HANDED_BACK"]
