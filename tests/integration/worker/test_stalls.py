"""A handler that blocks the event loop costs at most its own worker, and no neighbour's attempt."""

import signal

from orchestrator_core.tasks import TaskId, TaskStatus
from worker_bench import Bench

EXIT_STALLED = 70


async def verdict_of(bench: Bench, task_id: TaskId) -> tuple[TaskStatus, int]:
    task = await bench.finished(task_id)
    return task.status, task.attempts


async def test_neighbours_of_a_blocking_handler_keep_their_leases(bench: Bench) -> None:
    worker = await bench.start_worker(CONCURRENCY=2, LEASE_SECONDS=1)
    await worker.ready()
    neighbour = await bench.submit("demo_sleep", payload={"seconds": 1})
    await bench.claimed(neighbour)
    blocking = await bench.submit("demo_block", payload={"seconds": 3})
    await bench.claimed(blocking)

    # Would take over whatever lease runs out.
    other = await bench.start_worker()
    await other.ready()

    assert await verdict_of(bench, neighbour) == (TaskStatus.COMPLETED, 1)
    assert await verdict_of(bench, blocking) == (TaskStatus.COMPLETED, 1)
    assert await bench.kinds(neighbour) == ["ACCEPTED", "CLAIMED", "COMPLETED"]
    assert await bench.kinds(blocking) == ["ACCEPTED", "CLAIMED", "COMPLETED"]


async def test_a_worker_whose_loop_stands_still_exits_and_another_goes_on(bench: Bench) -> None:
    stalling = await bench.start_worker(CONCURRENCY=2, STALL_SECONDS=2)
    await stalling.ready()
    neighbour = await bench.submit("demo_sleep", payload={"seconds": 3})
    await bench.claimed(neighbour)
    blocking = await bench.submit("demo_block", payload={"seconds": 6})
    await bench.claimed(blocking)

    exit_code = await stalling.ended()
    await bench.start_worker()

    assert exit_code == EXIT_STALLED
    [told] = stalling.lines("stalled")
    assert told["reason"].startswith("the event loop did not turn for")
    assert "in block" in told["stacks"]
    assert await verdict_of(bench, neighbour) == (TaskStatus.COMPLETED, 2)
    assert await verdict_of(bench, blocking) == (TaskStatus.COMPLETED, 2)


async def test_a_worker_that_was_frozen_as_a_whole_goes_on_when_it_thaws(bench: Bench) -> None:
    frozen = await bench.start_worker(CONCURRENCY=1, STALL_SECONDS=2)
    await frozen.ready()
    first = await bench.submit("demo_sleep", payload={"seconds": 3})
    await bench.claimed(first)

    frozen.signal(signal.SIGSTOP)
    other = await bench.start_worker(CONCURRENCY=1)
    # Takes longer than the loop may stand still.
    verdict = await verdict_of(bench, first)
    frozen.signal(signal.SIGCONT)
    await frozen.logged("lease_lost", "settlement_refused")
    other.process.terminate()
    await other.ended()

    second = await bench.submit("demo_sleep", payload={"seconds": 0})
    assert verdict == (TaskStatus.COMPLETED, 2)
    assert await verdict_of(bench, second) == (TaskStatus.COMPLETED, 1)
    assert frozen.lines("stalled") == []
