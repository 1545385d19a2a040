"""The load is exact behind a deep backlog, no scan reads it, and a cordon reaches its worker."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from kept_tasks import keep_tasks
from orchestrator_core.attempts import HandedBack, RetryAfter, Settlement
from orchestrator_core.load import WorkerPresence, WorkerReport
from orchestrator_core.postgres.database import Database
from orchestrator_core.postgres.load_store import PRESENCE_SECONDS, LoadStore
from orchestrator_core.postgres.queries import load_statements
from orchestrator_core.postgres.ring_store import RingStore
from orchestrator_core.postgres.task_store import TaskStore
from orchestrator_core.postgres.worker_store import WorkerStore
from orchestrator_core.tasks import ErrorCode, NewTask, TaskId, UserId
from orchestrator_core.tracing import to_trace_context

BACKLOG_TASKS = 100_000
COUNTED_TASKS = 20_000
OLDEST_SECONDS = 7200.0

Kept = Callable[..., Awaitable[TaskId]]


@pytest.fixture
def kept(database: Database, user_id: UserId) -> Kept:
    async def keep(run_at: datetime | None = None) -> TaskId:
        task = NewTask(
            user_id=user_id,
            task_type="IMAGE_RESIZE",
            payload="{}",
            max_attempts=3,
            timeout_seconds=60,
            trace_context=to_trace_context(None),
            run_at=run_at,
        )
        [task_id] = await keep_tasks(database, [task])
        return task_id

    return keep


@pytest.fixture
def loads(database: Database) -> LoadStore:
    return LoadStore(database)


async def bury(database: Database, *, due_seconds: float = -3600.0) -> None:
    """Let a backlog wait that is older than all else; the oldest of it has a low priority.

    Args:
        database: has no such backlog yet.
        due_seconds: from now; all but the oldest may be for later instead.
    """
    async with database.answering("fill") as connection, connection.transaction():
        # Without triggers, of which the foreign key to the tasks is one.
        await connection.execute("SET LOCAL session_replication_role = replica")
        await connection.execute(
            "INSERT INTO live_tasks (task_id, due_at, ring_at, rings, priority) "
            "SELECT 1000000 + n, now() + make_interval(secs => $2::float8), now(), 1, n % 3 "
            "FROM generate_series(1, $1::int) n",
            BACKLOG_TASKS,
            due_seconds,
        )
        await connection.execute(
            "INSERT INTO live_tasks (task_id, due_at, ring_at, rings, priority) "
            "VALUES (999999, now() - make_interval(secs => $1::float8), now(), 1, 0)",
            OLDEST_SECONDS,
        )
    async with database.answering("analyze") as connection:
        await connection.execute("ANALYZE live_tasks")


def a_report(*, busy_slots: int = 0, is_resting: bool = False) -> WorkerReport:
    return WorkerReport(
        completions=3, busy_seconds=1.5, slots=4, busy_slots=busy_slots, is_resting=is_resting
    )


async def presence_of(loads: LoadStore, worker_id: UUID) -> WorkerPresence:
    [presence] = [each for each in await loads.workers() if each.worker_id == worker_id]
    return presence


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", []):
        yield from nodes(below)


async def test_behind_a_deep_backlog_leases_and_the_oldest_are_exact(
    database: Database, kept: Kept, tasks: TaskStore, loads: LoadStore
) -> None:
    ids = [await kept() for _ in range(7)]
    await tasks.claim(ids, worker_id=uuid4(), lease_seconds=30)
    await bury(database)

    load = await loads.read()

    assert (load.ready_tasks, load.in_flight_tasks) == (COUNTED_TASKS, 7)
    assert OLDEST_SECONDS <= load.oldest_ready_age_seconds < OLDEST_SECONDS + 60


async def test_a_task_that_waits_for_its_time_is_neither_ready_nor_in_flight(
    kept: Kept, tasks: TaskStore, loads: LoadStore
) -> None:
    task_id = await kept()
    [claim] = await tasks.claim([task_id], worker_id=uuid4(), lease_seconds=30)
    outcome = RetryAfter(ErrorCode.TIMEOUT, "slow", 60)
    await tasks.settle([Settlement(claim=claim, outcome=outcome)])

    load = await loads.read()

    assert (load.ready_tasks, load.in_flight_tasks, load.scheduled_tasks) == (0, 0, 1)
    assert load.oldest_ready_age_seconds == 0


async def test_a_task_for_later_is_scheduled_until_its_time_comes(
    kept: Kept, loads: LoadStore
) -> None:
    await kept(datetime.now(UTC) + timedelta(hours=1))
    await kept(datetime.now(UTC) + timedelta(seconds=0.5))
    before = await loads.read()

    await asyncio.sleep(0.6)

    after = await loads.read()
    assert (before.scheduled_tasks, before.ready_tasks, before.arrivals_total) == (2, 0, 2)
    assert (after.scheduled_tasks, after.ready_tasks, after.arrivals_total) == (1, 1, 2)


async def test_what_is_scheduled_is_counted_as_far_as_what_is_ready(
    database: Database, loads: LoadStore
) -> None:
    await bury(database, due_seconds=3600.0)

    load = await loads.read()

    assert (load.scheduled_tasks, load.ready_tasks) == (COUNTED_TASKS, 1)


async def test_lost_leases_and_hand_backs_are_ready(
    kept: Kept, tasks: TaskStore, loads: LoadStore
) -> None:
    lost, returned = await kept(), await kept()
    await tasks.claim([lost], worker_id=uuid4(), lease_seconds=0)
    [claim] = await tasks.claim([returned], worker_id=uuid4(), lease_seconds=30)
    await tasks.settle([Settlement(claim=claim, outcome=HandedBack())])

    load = await loads.read()

    assert (load.ready_tasks, load.in_flight_tasks) == (2, 0)
    assert load.oldest_ready_age_seconds > 0


async def test_what_no_sweep_has_moved_for_a_minute_is_stuck(
    database: Database, kept: Kept, tasks: TaskStore, loads: LoadStore
) -> None:
    async def age(task_id: TaskId, seconds: float) -> None:
        async with database.answering("age") as connection:
            await connection.execute(
                "UPDATE live_tasks SET ring_at = now() - make_interval(secs => $2::float8)"
                " WHERE task_id = $1",
                task_id,
                seconds,
            )

    never_rung, lost, late, rung = [await kept() for _ in range(4)]
    await tasks.claim([lost], worker_id=uuid4(), lease_seconds=0)
    await age(never_rung, 90)
    await age(lost, 90)
    await age(late, 30)
    # It waits in the queue behind others, however long that takes.
    await RingStore(database).take_first_rings(limit=10, ring_after_seconds=30)
    await age(rung, 90)
    assert (await loads.read()).stuck_tasks == 0

    async with database.answering("as if it had not rung") as connection:
        ids = [never_rung, lost, late]
        await connection.execute("UPDATE live_tasks SET rings = 0 WHERE task_id = ANY($1)", ids)
    await age(never_rung, 90)
    await age(lost, 90)
    await age(late, 30)

    load = await loads.read()

    assert (load.stuck_tasks, load.ready_tasks) == (2, 4)


async def test_an_extended_lease_stays_in_flight(
    kept: Kept, tasks: TaskStore, workers: WorkerStore, loads: LoadStore
) -> None:
    worker_id = uuid4()
    await workers.report(worker_id, a_report(), pod_name="worker-1")
    claims = await tasks.claim([await kept()], worker_id=worker_id, lease_seconds=30)
    await tasks.extend_leases(claims, lease_seconds=60)

    assert (await loads.read()).in_flight_tasks == 1
    assert (await presence_of(loads, worker_id)).busy_slots == 1


@pytest.mark.parametrize("due_seconds", [-3600.0, 3600.0])
@pytest.mark.parametrize(
    ("statement", "arguments"), [("read_load", []), ("list_workers", [PRESENCE_SECONDS])]
)
async def test_no_statement_scans_the_backlog(
    database: Database, statement: str, arguments: list[object], due_seconds: float
) -> None:
    await bury(database, due_seconds=due_seconds)

    async with database.answering("explain") as connection:
        text = await connection.fetchval(
            "EXPLAIN (FORMAT JSON) " + load_statements("workers")[statement], *arguments
        )

    [explained] = json.loads(text)
    scans = [node for node in nodes(explained["Plan"]) if node.get("Relation Name") == "live_tasks"]
    assert scans
    assert [node for node in scans if node["Node Type"] == "Seq Scan"] == []


async def test_a_worker_shows_its_slots_and_the_leases_that_it_holds(
    kept: Kept, tasks: TaskStore, workers: WorkerStore, loads: LoadStore
) -> None:
    worker_id = uuid4()
    await workers.report(worker_id, a_report(busy_slots=4), pod_name="worker-1")
    await tasks.claim([await kept(), await kept()], worker_id=worker_id, lease_seconds=30)

    presence = await presence_of(loads, worker_id)

    assert (presence.pod_name, presence.slots, presence.busy_slots) == ("worker-1", 4, 2)
    assert not presence.is_cordoned


async def test_a_silent_worker_is_busy_until_its_lease_ends(
    database: Database, kept: Kept, tasks: TaskStore, workers: WorkerStore, loads: LoadStore
) -> None:
    busy, idle = uuid4(), uuid4()
    for worker_id in (busy, idle):
        await workers.report(worker_id, a_report(), pod_name="worker-1")
    [claim] = await tasks.claim([await kept()], worker_id=busy, lease_seconds=30)

    async with database.answering("let them be silent") as connection:
        await connection.execute(
            "UPDATE workers SET seen_at = now() - make_interval(secs => $1::float8)",
            2 * PRESENCE_SECONDS,
        )
    silent = [(each.worker_id, each.busy_slots) for each in await loads.workers()]
    await tasks.extend_leases([claim], lease_seconds=0)

    assert silent == [(busy, 1)]
    assert await loads.workers() == ()


async def test_a_cordon_reaches_its_worker_with_the_next_report_and_no_other(
    workers: WorkerStore, loads: LoadStore
) -> None:
    one, other = uuid4(), uuid4()
    for worker_id in (one, other):
        await workers.report(worker_id, a_report(), pod_name=str(worker_id))

    await loads.cordon([one])
    answers = [await workers.report(each, a_report(), pod_name="") for each in (one, one, other)]
    is_seen = (await presence_of(loads, one)).is_cordoned
    await loads.uncordon([one, other])
    answer = await workers.report(one, a_report(), pod_name="")

    assert answers == [True, True, False]
    assert is_seen
    assert not answer
    assert not (await presence_of(loads, one)).is_cordoned


async def test_a_cordoned_worker_is_busy_while_it_says_so_itself(
    workers: WorkerStore, loads: LoadStore
) -> None:
    worker_id = uuid4()
    await workers.report(worker_id, a_report(busy_slots=1), pod_name="worker-1")
    await loads.cordon([worker_id])

    at_first = (await presence_of(loads, worker_id)).busy_slots
    await workers.report(worker_id, a_report(busy_slots=0), pod_name="worker-1")

    assert (at_first, (await presence_of(loads, worker_id)).busy_slots) == (1, 0)


async def test_what_a_worker_said_of_an_earlier_cordon_is_no_answer_to_this_one(
    workers: WorkerStore, loads: LoadStore
) -> None:
    worker_id = uuid4()
    await workers.report(worker_id, a_report(), pod_name="worker-1")
    seen = []
    for _ in range(2):
        await loads.cordon([worker_id])
        seen.append((await presence_of(loads, worker_id)).is_resting)
        await workers.report(worker_id, a_report(is_resting=True), pod_name="worker-1")
        await loads.cordon([worker_id])
        seen.append((await presence_of(loads, worker_id)).is_resting)
        await loads.uncordon([worker_id])

    # A report that was on its way when the cordon was lifted counts for nothing.
    await workers.report(worker_id, a_report(is_resting=True), pod_name="worker-1")
    seen.append((await presence_of(loads, worker_id)).is_resting)

    assert seen == [False, True, False, True, False]


async def test_a_cordon_that_nobody_renews_ends_by_itself(
    workers: WorkerStore, loads: LoadStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator_core.postgres.load_store.CORDON_SECONDS", 0.5)
    worker_id = uuid4()
    await workers.report(worker_id, a_report(), pod_name="worker-1")
    await loads.cordon([worker_id])
    heard = [await workers.report(worker_id, a_report(), pod_name="worker-1")]

    await asyncio.sleep(0.6)

    presence = await presence_of(loads, worker_id)
    heard.append(await workers.report(worker_id, a_report(is_resting=True), pod_name="worker-1"))
    assert not presence.is_cordoned
    assert heard == [True, False]
    # Cordoned anew, it has not answered yet.
    await loads.cordon([worker_id])
    assert not (await presence_of(loads, worker_id)).is_resting


async def test_a_cordon_of_nobody_asks_nothing(loads: LoadStore) -> None:
    await loads.cordon([])
    await loads.cordon([uuid4()])

    assert await loads.workers() == ()
