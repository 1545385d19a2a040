"""A cordoned worker finishes what it runs, takes nothing new, and can be let in again."""

import asyncio

from orchestrator_core.load import WorkerPresence
from orchestrator_core.postgres.load_store import LoadStore
from orchestrator_core.tasks import TaskStatus
from worker_bench import Bench, until


async def test_a_cordoned_worker_becomes_idle_and_takes_tasks_again_afterwards(
    bench: Bench,
) -> None:
    loads = LoadStore(bench.database)
    worker = await bench.start_worker(CONCURRENCY=2)
    await worker.ready()
    running = await bench.submit("demo_sleep", payload={"seconds": 3})
    await bench.claimed(running)
    [presence] = await loads.workers()

    await loads.cordon([presence.worker_id])
    await worker.logged("cordoned")
    waiting = await bench.submit("demo_sleep", payload={"seconds": 0})

    async def idle() -> WorkerPresence | None:
        [now] = await loads.workers()
        return now if now.busy_slots == 0 and now.is_resting else None

    idle_presence = await until(idle)
    ended = await bench.task(running)
    kinds_meanwhile = await bench.kinds(waiting)
    readiness = await worker.probe("/readyz")
    await loads.uncordon([presence.worker_id])

    assert (presence.slots, presence.busy_slots, presence.is_cordoned) == (2, 1, False)
    assert (idle_presence.slots, idle_presence.is_cordoned) == (2, True)
    assert (ended.status, ended.attempts) == (TaskStatus.COMPLETED, 1)
    assert not presence.is_resting
    assert kinds_meanwhile == ["ACCEPTED"]
    assert readiness == 200
    assert (await bench.finished(waiting)).status is TaskStatus.COMPLETED


async def test_another_worker_runs_what_a_cordoned_one_leaves(bench: Bench) -> None:
    loads = LoadStore(bench.database)
    worker = await bench.start_worker(POD_NAME="cordoned")
    await worker.ready()
    [presence] = await loads.workers()
    await loads.cordon([presence.worker_id])
    await worker.logged("cordoned")
    task_id = await bench.submit("demo_sleep", payload={"seconds": 0})

    await bench.start_worker(POD_NAME="other")

    assert (await bench.finished(task_id)).status is TaskStatus.COMPLETED


async def test_a_worker_rests_only_when_nothing_is_on_its_way_into_a_slot(bench: Bench) -> None:
    """Cordon it again and again while messages pour in: resting and idle, it claims nothing."""
    loads = LoadStore(bench.database)
    worker = await bench.start_worker(CONCURRENCY=2)
    await worker.ready()
    [presence] = await loads.workers()
    tasks = [bench.a_task("demo_sleep", {"seconds": 0}) for _ in range(400)]
    ids = await bench.submit_all(tasks)

    async def rests() -> bool:
        [now] = await loads.workers()
        return now.is_resting and now.busy_slots == 0

    claims = "SELECT count(*) AS number FROM task_events WHERE kind = 'CLAIMED'"
    for _ in range(5):
        await loads.cordon([presence.worker_id])
        await until(rests)
        before = (await bench.rows(claims))[0]["number"]
        await asyncio.sleep(0.3)
        after = (await bench.rows(claims))[0]["number"]
        await loads.uncordon([presence.worker_id])
        assert before == after
    for task_id in ids:
        assert (await bench.finished(task_id)).attempts == 1
