"""A cancelled task ends on its worker too, at once and for good."""

from orchestrator_core.tasks import TaskStatus
from worker_bench import Bench, cpu_seconds, descendants, state_of, until


async def test_the_child_of_a_cancelled_task_ends_and_its_place_is_free(bench: Bench) -> None:
    worker = await bench.start_worker(CONCURRENCY=1)
    await worker.ready()
    task_id = await bench.submit("demo_spin", payload={"seconds": 3600})

    async def computing() -> set[int] | None:
        # Longer than any start takes, so it is the task itself.
        return {pid for pid in descendants(worker.process.pid) if cpu_seconds(pid) > 2} or None

    children = await until(computing)
    await bench.store.cancel(task_id)

    async def all_gone() -> bool:
        return all(state_of(pid) in (None, "Z") for pid in children)

    await until(all_gone)
    next_task = await bench.finished(await bench.submit("demo_sleep", payload={"seconds": 0}))
    assert next_task.status is TaskStatus.COMPLETED
    assert (await worker.logged("lease_lost", "settlement_refused"))["task_id"] == task_id
    assert (await bench.task(task_id)).status is TaskStatus.CANCELLED
    assert await bench.kinds(task_id) == ["ACCEPTED", "CLAIMED", "CANCELLED"]


async def test_a_handler_in_the_workers_own_process_ends_too(bench: Bench) -> None:
    worker = await bench.start_worker()
    await worker.ready()
    task_id = await bench.submit("demo_sleep", payload={"seconds": 3600})
    await bench.claimed(task_id)

    is_cancelled = await bench.store.cancel(task_id)

    refusal = await worker.logged("lease_lost", "settlement_refused")
    assert is_cancelled
    assert refusal["task_id"] == task_id
    assert (await bench.task(task_id)).status is TaskStatus.CANCELLED
    assert await bench.rows("SELECT 1 FROM task_results") == []
    assert await bench.kinds(task_id) == ["ACCEPTED", "CLAIMED", "CANCELLED"]


async def test_a_cancel_does_not_wait_until_the_lease_is_extended(bench: Bench) -> None:
    worker = await bench.start_worker(LEASE_SECONDS=3600)
    await worker.ready()
    task_id = await bench.submit("demo_sleep", payload={"seconds": 3600})
    await bench.claimed(task_id)

    await bench.store.cancel(task_id)

    assert (await worker.logged("lease_lost", "settlement_refused"))["task_id"] == task_id


async def test_a_task_that_is_cancelled_while_it_waits_is_never_begun(bench: Bench) -> None:
    task_id = await bench.submit("demo_sleep", payload={"seconds": 0}, rings=3)
    await bench.store.cancel(task_id)

    await (await bench.start_worker()).ready()

    await bench.finished(await bench.submit("demo_sleep", payload={"seconds": 0}))
    assert await bench.kinds(task_id) == ["ACCEPTED", "CANCELLED"]
