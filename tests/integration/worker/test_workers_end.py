"""Workers that are killed, frozen or asked to stop: the task completes, once."""

import signal

import pytest

from orchestrator_core.tasks import TaskStatus
from worker_bench import Bench, cpu_seconds, descendants, state_of, until


@pytest.mark.parametrize("task_type", ["demo_sleep", "demo_spin"])
async def test_a_killed_workers_task_is_finished_by_another_once(
    bench: Bench, task_type: str
) -> None:
    killed = await bench.start_worker()
    await killed.ready()
    task_id = await bench.submit(task_type, payload={"seconds": 2})
    await bench.claimed(task_id)

    killed.signal(signal.SIGKILL)
    await bench.start_worker()

    task = await bench.finished(task_id)
    assert (task.status, task.attempts) == (TaskStatus.COMPLETED, 2)
    assert await bench.kinds(task_id) == ["ACCEPTED", "CLAIMED", "CLAIMED", "COMPLETED"]


async def test_no_child_outlives_a_killed_worker(bench: Bench) -> None:
    worker = await bench.start_worker()
    await worker.ready()
    await bench.claimed(await bench.submit("demo_spin", payload={"seconds": 3600}))

    async def computes() -> set[int] | None:
        below = descendants(worker.process.pid)
        # Longer than any start takes, so it is the task itself.
        return below if any(cpu_seconds(pid) > 2 for pid in below) else None

    below = await until(computes)
    worker.signal(signal.SIGKILL)

    async def all_gone() -> bool:
        return all(state_of(pid) in (None, "Z") for pid in below)

    await until(all_gone)


async def test_a_frozen_worker_that_wakes_up_late_is_refused(bench: Bench) -> None:
    zombie = await bench.start_worker(CONCURRENCY=1)
    await zombie.ready()
    task_id = await bench.submit("demo_sleep", payload={"seconds": 1})
    await bench.claimed(task_id)

    zombie.signal(signal.SIGSTOP)
    await bench.start_worker()
    task = await bench.finished(task_id)
    zombie.signal(signal.SIGCONT)

    refusal = await zombie.logged("lease_lost", "settlement_refused")
    assert refusal["task_id"] == task_id
    assert (await bench.task(task_id)).finished_at == task.finished_at
    assert (await bench.kinds(task_id)).count("COMPLETED") == 1


@pytest.mark.parametrize("task_type", ["demo_sleep", "demo_spin"])
async def test_a_draining_worker_hands_back_what_does_not_fit_and_spends_no_attempt(
    bench: Bench, task_type: str
) -> None:
    worker = await bench.start_worker(DRAIN_SECONDS=0.2)
    await worker.ready()
    task_id = await bench.submit(task_type, payload={"seconds": 50})
    await bench.claimed(task_id)

    worker.process.terminate()

    assert await worker.ended() == 0
    task = await bench.task(task_id)
    assert (task.status, task.attempts) == (TaskStatus.PROCESSING, 0)
    assert await bench.kinds(task_id) == ["ACCEPTED", "CLAIMED", "HANDED_BACK"]


async def test_a_draining_worker_finishes_what_fits_and_takes_nothing_new(bench: Bench) -> None:
    worker = await bench.start_worker(DRAIN_SECONDS=50)
    await worker.ready()
    fits = await bench.submit("demo_spin", payload={"seconds": 1.5})
    await bench.claimed(fits)

    worker.process.terminate()
    await worker.logged("draining")
    late = await bench.submit("demo_sleep", payload={"seconds": 0})

    assert await worker.ended() == 0
    assert (await bench.task(fits)).status is TaskStatus.COMPLETED
    assert await bench.kinds(late) == ["ACCEPTED"]


async def test_a_second_signal_hands_back_at_once(bench: Bench) -> None:
    worker = await bench.start_worker(DRAIN_SECONDS=3600)
    await worker.ready()
    task_id = await bench.submit("demo_sleep", payload={"seconds": 50})
    await bench.claimed(task_id)

    worker.process.terminate()
    await worker.logged("draining")
    worker.process.terminate()

    assert await worker.ended() == 0
    assert await bench.kinds(task_id) == ["ACCEPTED", "CLAIMED", "HANDED_BACK"]


async def test_a_worker_that_is_not_served_anything_still_ends_when_asked(bench: Bench) -> None:
    worker = await bench.start_worker(amqp=bench.unreachable_broker())
    await worker.logged("broker_away")

    worker.process.terminate()

    assert await worker.ended() == 0
