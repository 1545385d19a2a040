"""The facts of a task are whole, of one instant, bounded, and read by index."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from explained import explain
from explained_tasks import a_deleted_pod, a_pod_end, a_report
from kept_tasks import end_task, keep_tasks
from orchestrator_core.attempts import (
    Failed,
    HandedBack,
    ProgressReport,
    ResultFile,
    RetryAfter,
    Settlement,
    Succeeded,
    Tending,
)
from orchestrator_core.errors import StoreUnavailableError, TaskNotFoundError
from orchestrator_core.explanations import QueuePlace
from orchestrator_core.load import WorkerReport
from orchestrator_core.pools import PodEnd
from orchestrator_core.postgres.database import Database
from orchestrator_core.postgres.explanation_store import MAX_COUNTED, ExplanationStore
from orchestrator_core.postgres.load_store import LoadStore
from orchestrator_core.postgres.pool_store import POD_ENDS_KEPT_SECONDS, PoolStore
from orchestrator_core.postgres.queries import load_statements
from orchestrator_core.postgres.task_store import TaskStore
from orchestrator_core.postgres.worker_store import WorkerStore
from orchestrator_core.settings import PostgresSettings
from orchestrator_core.tasks import (
    ErrorCode,
    NewTask,
    TaskId,
    TaskPriority,
    TaskStatus,
    UserId,
)
from orchestrator_core.tracing import to_trace_context

BACKLOG_TASKS = 100_000
A_RESULT = ResultFile(content=b"x", content_type="text/plain", file_name="x.txt")
WORKER_REPORT = WorkerReport(completions=1, busy_seconds=1, slots=4, busy_slots=3, is_resting=False)
TABLES = {"tasks", "live_tasks", "task_events", "pod_ends"}
"""The table of workers holds a day's processes, and that of the pool one row."""


@pytest.fixture
def explanations(database: Database) -> ExplanationStore:
    return ExplanationStore(database)


@pytest.fixture
def pools(database: Database) -> PoolStore:
    return PoolStore(database)


@pytest.fixture
def new_task(user_id: UserId) -> Callable[..., NewTask]:
    def make(**values: Any) -> NewTask:
        task = NewTask(
            user_id=user_id,
            task_type="IMAGE_RESIZE",
            payload="{}",
            max_attempts=3,
            timeout_seconds=60,
            trace_context=to_trace_context(None),
        )
        return replace(task, **values)

    return make


async def report_worker(database: Database, worker_id: UUID, *, pod_name: str = "worker-1") -> None:
    await WorkerStore(database).report(worker_id, WORKER_REPORT, pod_name=pod_name)


async def claim(
    database: Database, task_id: TaskId, worker_id: UUID, lease_seconds: float = 30
) -> Any:
    [claim] = await TaskStore(database).claim(
        [task_id], worker_id=worker_id, lease_seconds=lease_seconds
    )
    return claim


def an_end_on(pod_name: str, **values: Any) -> PodEnd:
    """A container's end that is just now, of a container that began an hour ago."""
    now = datetime.now(UTC)
    ran = {"began_at": now - timedelta(hours=1), "ended_at": now + timedelta(seconds=1)}
    return a_pod_end(pod_name=pod_name, **{**ran, **values})


async def test_a_task_that_waits_knows_its_place_and_those_before_it(
    database: Database, explanations: ExplanationStore, new_task: Callable[..., NewTask]
) -> None:
    first, second = await keep_tasks(database, [new_task(), new_task()])
    [high] = await keep_tasks(database, [new_task(priority=TaskPriority.HIGH)])
    [low] = await keep_tasks(database, [new_task(priority=TaskPriority.LOW)])
    [later] = await keep_tasks(database, [new_task(run_at=datetime.now(UTC) + timedelta(hours=1))])

    asked = (high, first, second, low, later)
    places = {each: (await explanations.read(each)).place for each in asked}

    assert places[high] == QueuePlace(ahead=0, waiting=4, is_counted_out=False)
    assert places[first] == QueuePlace(ahead=1, waiting=4, is_counted_out=False)
    # What was kept together became due at one instant, and is mostly claimed as it was kept.
    assert places[second] == QueuePlace(ahead=2, waiting=4, is_counted_out=False)
    assert places[low] == QueuePlace(ahead=3, waiting=4, is_counted_out=False)
    assert places[later] is None


async def test_a_running_attempt_shows_its_worker_lease_and_progress(
    database: Database, explanations: ExplanationStore, new_task: Callable[..., NewTask]
) -> None:
    worker_id = uuid4()
    [task_id] = await keep_tasks(database, [new_task()])
    await report_worker(database, worker_id)
    held = await claim(database, task_id, worker_id)
    progress = ProgressReport(0.4, "page 4")
    await TaskStore(database).tend([Tending(claim=held, progress=progress)])

    facts = await explanations.read(task_id)

    assert facts.standing.lease_until == held.lease_until
    assert (facts.standing.progress, facts.standing.progress_message) == (0.4, "page 4")
    assert facts.workers[worker_id].pod_name == "worker-1"
    assert facts.place is None
    assert [event.kind for event in facts.events] == ["ACCEPTED", "CLAIMED"]


async def test_a_final_task_needs_no_pool_and_keeps_its_history(
    database: Database, explanations: ExplanationStore, new_task: Callable[..., NewTask]
) -> None:
    [task_id] = await keep_tasks(database, [new_task()])
    store = TaskStore(database)
    for outcome in (RetryAfter(ErrorCode.TIMEOUT, "slow", 0), HandedBack(), Succeeded(A_RESULT)):
        held = await claim(database, task_id, uuid4())
        await store.settle([Settlement(claim=held, outcome=outcome)])

    facts = await explanations.read(task_id)

    assert facts.standing.status is TaskStatus.COMPLETED
    assert (facts.pool, facts.place, facts.standing.due_at) == (None, None, None)
    assert [event.kind for event in facts.events] == [
        "ACCEPTED",
        *("CLAIMED", "RETRY"),
        *("CLAIMED", "HANDED_BACK"),
        *("CLAIMED", "COMPLETED"),
    ]


async def test_a_pool_counts_who_takes_tasks_and_measures_what_attempts_took(
    database: Database, explanations: ExplanationStore, new_task: Callable[..., NewTask]
) -> None:
    taking, cordoned = uuid4(), uuid4()
    for worker_id in (taking, cordoned):
        await report_worker(database, worker_id)
    await LoadStore(database).cordon([cordoned])
    ids = await keep_tasks(database, [new_task() for _ in range(4)])
    for task_id in ids[:2]:
        await end_task(database, task_id, Failed(ErrorCode.HANDLER_ERROR, "no"))
    await claim(database, ids[2], taking)

    pool = (await explanations.read(ids[3])).pool

    assert pool is not None
    assert (pool.workers, pool.slots, pool.busy_slots, pool.free_slots) == (1, 4, 3, 1)
    assert pool.measured_attempts == 2
    assert pool.mean_run_seconds is not None
    assert 0 < pool.mean_run_seconds < 5
    assert (pool.report, pool.told_at) == (None, None)


async def test_where_no_attempt_has_ended_there_is_no_mean(
    database: Database, explanations: ExplanationStore, new_task: Callable[..., NewTask]
) -> None:
    [task_id] = await keep_tasks(database, [new_task()])

    pool = (await explanations.read(task_id)).pool

    assert pool is not None
    assert (pool.workers, pool.measured_attempts, pool.mean_run_seconds) == (0, 0, None)


async def test_what_the_operator_told_last_is_what_there_is(
    database: Database,
    explanations: ExplanationStore,
    pools: PoolStore,
    new_task: Callable[..., NewTask],
) -> None:
    [task_id] = await keep_tasks(database, [new_task()])
    await pools.tell(a_report(limited_message="no connections"))
    before = (await explanations.read(task_id)).pool
    await pools.tell(a_report(desired_replicas=None))
    after = (await explanations.read(task_id)).pool

    assert before is not None
    assert after is not None
    assert before.report == a_report(limited_message="no connections")
    assert after.report == a_report(desired_replicas=None)
    assert before.told_at is not None
    assert after.told_at is not None
    assert before.told_at < after.told_at


async def test_a_pods_end_is_kept_once_beside_the_process_that_ran_there(
    database: Database,
    explanations: ExplanationStore,
    pools: PoolStore,
    new_task: Callable[..., NewTask],
) -> None:
    worker_id, other = uuid4(), uuid4()
    [task_id] = await keep_tasks(database, [new_task()])
    await report_worker(database, worker_id)
    await report_worker(database, other, pod_name="worker-2")
    await claim(database, task_id, worker_id)
    killed = an_end_on("worker-1")
    deleted = a_deleted_pod(pod_name="worker-1", began_at=killed.began_at, ended_at=killed.ended_at)

    for _ in range(2):
        await pools.record_ends([killed, deleted, an_end_on("worker-3", pod_uid="3")])

    trace = (await explanations.read(task_id)).workers[worker_id]
    assert set(trace.ends) == {killed, deleted}
    assert len(trace.ends) == 2
    async with database.answering("look") as connection:
        rows = await connection.fetch("SELECT worker_id FROM pod_ends")
    # Nothing had ever reported from the third pod, so no attempt can have run there.
    assert [row["worker_id"] for row in rows] == [worker_id, worker_id]


async def test_a_restarted_containers_first_end_belongs_to_its_first_process(
    database: Database, pools: PoolStore
) -> None:
    first, second = uuid4(), uuid4()
    for worker_id, started in ((first, "1 hour"), (second, "1 minute")):
        await report_worker(database, worker_id)
        async with database.answering("age") as connection:
            await connection.execute(
                f"UPDATE workers SET started_at = now() - interval '{started}' "  # noqa: S608
                "WHERE worker_id = $1",
                worker_id,
            )
    now = datetime.now(UTC)
    began, restarted = now - timedelta(hours=1, seconds=2), now - timedelta(seconds=62)

    await pools.record_ends(
        [
            an_end_on("worker-1", began_at=began, ended_at=restarted - timedelta(seconds=1)),
            an_end_on("worker-1", began_at=restarted, ended_at=now),
        ]
    )

    async with database.answering("look") as connection:
        rows = await connection.fetch("SELECT worker_id FROM pod_ends ORDER BY began_at")
    assert [row["worker_id"] for row in rows] == [first, second]


async def test_a_pods_end_outlives_the_row_of_its_worker(
    database: Database,
    explanations: ExplanationStore,
    pools: PoolStore,
    new_task: Callable[..., NewTask],
) -> None:
    worker_id = uuid4()
    [task_id] = await keep_tasks(database, [new_task()])
    await report_worker(database, worker_id)
    await claim(database, task_id, worker_id)
    await pools.record_ends([an_end_on("worker-1")])
    async with database.answering("forget") as connection:
        await connection.execute("DELETE FROM workers")

    trace = (await explanations.read(task_id)).workers[worker_id]

    assert (trace.pod_name, trace.seen_at) == ("worker-1", None)
    assert [end.reason for end in trace.ends] == ["OOMKilled"]


async def test_old_ends_of_pods_are_forgotten_page_by_page(
    database: Database, pools: PoolStore
) -> None:
    await report_worker(database, uuid4())
    await pools.record_ends([an_end_on("worker-1", pod_uid=str(n)) for n in range(4)])
    async with database.answering("age") as connection:
        await connection.execute(
            "UPDATE pod_ends SET ended_at = now() - make_interval(secs => $1::float8) "
            "WHERE pod_uid <> '3'",
            POD_ENDS_KEPT_SECONDS + 1,
        )

    pruned = [await pools.prune(limit=2) for _ in range(3)]

    async with database.answering("look") as connection:
        left = await connection.fetchval("SELECT array_agg(pod_uid) FROM pod_ends")
    assert pruned == [2, 1, 0]
    assert left == ["3"]


async def test_a_task_that_is_gone_is_not_explained(explanations: ExplanationStore) -> None:
    with pytest.raises(TaskNotFoundError):
        await explanations.read(TaskId(2**40))


async def test_a_schema_of_an_older_version_is_an_absence(
    database: Database, pools: PoolStore
) -> None:
    async with database.answering("go back") as connection:
        await connection.execute("DROP TABLE pool_state, pod_ends")

    with pytest.raises(StoreUnavailableError):
        await pools.tell(a_report())
    with pytest.raises(StoreUnavailableError):
        await pools.record_ends([an_end_on("worker-1")])


async def test_behind_a_deep_backlog_counting_ends_and_no_table_is_read_whole(
    database: Database,
    postgres_settings: PostgresSettings,
    explanations: ExplanationStore,
    new_task: Callable[..., NewTask],
) -> None:
    await bury(database)
    [task_id] = await keep_tasks(database, [new_task()])

    facts = await explanations.read(task_id)
    scans = {}
    connection = await asyncpg.connect(
        host=postgres_settings.host,
        port=postgres_settings.port,
        user=postgres_settings.user,
        database=postgres_settings.database,
    )
    try:
        # As every connection of ours has it.
        await connection.execute("SET enable_seqscan = off")
        statements = {**load_statements("explanations"), **load_statements("pools")}
        for name, statement in statements.items():
            found = await explain(connection, statement)
            scans[name] = {each.table for each in found if each.how == "Seq Scan"} & TABLES
    finally:
        await connection.close()

    assert facts.place == QueuePlace(
        ahead=MAX_COUNTED, waiting=MAX_COUNTED + 1, is_counted_out=True
    )
    assert {name: tables for name, tables in scans.items() if tables} == {}


async def bury(database: Database) -> None:
    """Let many tasks wait that are older than all else, each with its history."""
    async with database.answering("fill") as connection, connection.transaction():
        # Without triggers, of which the foreign keys to the tasks are some.
        await connection.execute("SET LOCAL session_replication_role = replica")
        await connection.execute(
            "INSERT INTO live_tasks (task_id, due_at, ring_at, rings, priority) "
            "SELECT 1000000 + n, now() - interval '1 hour', now(), 1, 1 "
            "FROM generate_series(1, $1::int) n",
            BACKLOG_TASKS,
        )
        await connection.execute(
            "INSERT INTO task_events (task_id, seq, epoch, status, kind, actor) "
            "SELECT 1000000 + n, 1, 0, 'PENDING', 'ACCEPTED', 'api' "
            "FROM generate_series(1, $1::int) n",
            BACKLOG_TASKS,
        )
    async with database.answering("analyze") as connection:
        await connection.execute("ANALYZE live_tasks, task_events")
