"""Healthy workers: every task once, every result right."""

import asyncio
import io
from random import Random

from PIL import Image

from orchestrator_core.postgres.event_store import CHANNEL
from orchestrator_core.postgres.listening import Listener
from orchestrator_core.tasks import TaskStatus
from worker_bench import PATIENCE_SECONDS, Bench


async def test_an_image_is_resized_and_its_file_kept(bench: Bench) -> None:
    await (await bench.start_worker()).ready()

    task = await bench.finished(await bench.submit("IMAGE_RESIZE", payload={"width": 320}))

    [row] = await bench.rows("SELECT content FROM task_results WHERE task_id = $1", task.id)
    assert (task.status, task.attempts) == (TaskStatus.COMPLETED, 1)
    assert task.result_file == f"result/image_{task.id}.jpg"
    assert Image.open(io.BytesIO(row["content"])).size == (320, 240)


async def test_workers_that_race_run_each_task_once(bench: Bench) -> None:
    for worker in [await bench.start_worker(CONCURRENCY=4) for _ in range(2)]:
        await worker.ready()

    tasks = [bench.a_task("demo_sleep", {"seconds": 0}) for _ in range(100)]
    ids = await bench.submit_all(tasks, rings=3)

    for task_id in ids:
        await bench.finished(task_id)
        assert await bench.kinds(task_id) == ["ACCEPTED", "CLAIMED", "COMPLETED"]


async def test_a_failed_attempt_is_tried_again_after_its_delay(bench: Bench) -> None:
    worker = await bench.start_worker()
    await worker.ready()

    task = await bench.finished(await bench.submit("demo_fail", payload={"times": 2}))

    assert (task.status, task.attempts, task.error_code) == (TaskStatus.COMPLETED, 3, None)
    assert await bench.kinds(task.id) == [
        *("ACCEPTED", "CLAIMED", "RETRY", "CLAIMED", "RETRY", "CLAIMED", "COMPLETED")
    ]


async def test_a_task_that_always_fails_runs_out_of_attempts(bench: Bench) -> None:
    await (await bench.start_worker()).ready()

    task = await bench.finished(
        await bench.submit("demo_fail", payload={"times": 99}, max_attempts=2)
    )

    assert (task.status, task.attempts, task.error_code) == (TaskStatus.FAILED, 2, "HANDLER_ERROR")
    assert task.error_message == "RuntimeError: attempt 2 fails, as asked"


async def test_a_type_that_no_worker_knows_ends_with_a_sentence(bench: Bench) -> None:
    await (await bench.start_worker()).ready()

    task = await bench.finished(await bench.submit("from_the_future", max_attempts=1))

    assert task.status is TaskStatus.FAILED
    assert task.error_message is not None
    assert "does not know the type 'from_the_future'" in task.error_message


async def test_a_busy_worker_leaves_waiting_messages_to_others(bench: Bench) -> None:
    busy = await bench.start_worker(CONCURRENCY=1)
    await busy.ready()
    long = await bench.submit("demo_sleep", payload={"seconds": 3600})
    await bench.claimed(long)

    # Only what the busy worker gives back can reach the other one: nobody rings again.
    tasks = [bench.a_task("demo_sleep", {"seconds": 0}) for _ in range(5)]
    ids = await bench.submit_all(tasks, ring_again_seconds=3600)
    await (await bench.start_worker(CONCURRENCY=1)).ready()

    for task_id in ids:
        assert await bench.kinds((await bench.finished(task_id)).id) == [
            *("ACCEPTED", "CLAIMED", "COMPLETED")
        ]
    assert (await bench.task(long)).status is TaskStatus.PROCESSING


async def test_a_worker_reports_its_pod_and_totals(bench: Bench) -> None:
    worker = await bench.start_worker()
    await worker.ready()
    await bench.finished(await bench.submit("demo_spin", payload={"seconds": 0.2}))

    worker.process.terminate()
    await worker.ended()

    [row] = await bench.rows("SELECT pod_name, completions, busy_seconds FROM workers")
    assert (row["pod_name"], row["completions"]) == ("worker-under-test", 1)
    assert row["busy_seconds"] >= 0.2


async def test_every_line_about_an_attempt_names_task_and_trace(bench: Bench) -> None:
    worker = await bench.start_worker()
    await worker.ready()

    task = await bench.finished(await bench.submit("demo_sleep", payload={"seconds": 0}))

    line = await worker.logged("attempt_ended")
    assert (line["task_id"], line["task_type"], line["epoch"]) == (task.id, "demo_sleep", 1)
    assert line["trace_id"] in task.trace_context


async def test_who_follows_a_task_hears_of_each_move_from_the_worker_itself(bench: Bench) -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()
    listening = asyncio.Event()
    listener = Listener(
        bench.postgres,
        {CHANNEL: heard.put_nowait},
        application="test",
        chance=Random(1),
        on_connect=listening.set,
    )
    async with asyncio.TaskGroup() as group:
        running = group.create_task(listener.run())
        await listening.wait()
        await (await bench.start_worker()).ready()

        task_id = await bench.submit("demo_sleep", payload={"seconds": 0.5})
        async with asyncio.timeout(PATIENCE_SECONDS):
            claimed = await heard.get()
            settled = await heard.get()
        task = await bench.task(task_id)
        running.cancel()

    assert (claimed, settled) == ("", "")
    assert task.status is TaskStatus.COMPLETED
