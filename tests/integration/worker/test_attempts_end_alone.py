"""A task that crashes, hangs or explodes ends, and its neighbours don't notice."""

import asyncio

from orchestrator_core.tasks import Task, TaskId, TaskStatus
from worker_bench import Bench


async def test_a_poison_task_runs_out_of_attempts_beside_unharmed_neighbours(bench: Bench) -> None:
    await (await bench.start_worker()).ready()

    poison = await bench.submit("demo_crash")
    neighbours = await bench.submit_all(
        [bench.a_task("demo_spin", {"seconds": 0.2}) for _ in range(6)]
    )

    task = await bench.finished(poison)
    assert (task.status, task.attempts, task.error_code) == (TaskStatus.FAILED, 3, "WORKER_LOST")
    assert await first_time(bench, neighbours)


async def test_a_hung_task_is_killed_at_its_limit(bench: Bench) -> None:
    await (await bench.start_worker()).ready()

    hung = await bench.submit(
        "demo_spin", payload={"seconds": 3600}, timeout_seconds=1, max_attempts=2
    )
    neighbours = await bench.submit_all(
        [bench.a_task("demo_spin", {"seconds": 0.2}) for _ in range(6)]
    )

    task = await bench.finished(hung)
    assert (task.status, task.attempts, task.error_code) == (TaskStatus.FAILED, 2, "TIMEOUT")
    assert await first_time(bench, neighbours)


async def test_a_memory_bomb_ends_its_own_attempt(bench: Bench) -> None:
    await (await bench.start_worker()).ready()

    bomb = await bench.submit("demo_allocate", payload={"bytes": 1 << 34}, max_attempts=2)
    neighbours = await bench.submit_all(
        [bench.a_task("demo_allocate", {"bytes": 1 << 20}) for _ in range(6)]
    )

    task = await bench.finished(bomb)
    assert (task.status, task.attempts, task.error_code) == (TaskStatus.FAILED, 2, "OUT_OF_MEMORY")
    assert await first_time(bench, neighbours)


async def first_time(bench: Bench, ids: list[TaskId]) -> bool:
    """Whether all of them completed in their first attempt."""
    tasks: list[Task] = await asyncio.gather(*(bench.finished(each) for each in ids))
    return all((each.status, each.attempts) == (TaskStatus.COMPLETED, 1) for each in tasks)
