"""When the doorbell rings: for what is due, once, and at no cost for what waits in peace."""

import asyncio
import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from kept_tasks import keep_tasks
from orchestrator_core.attempts import Claim, HandedBack, ProgressReport, RetryAfter, Settlement
from orchestrator_core.attempts import Tending as Tended
from orchestrator_core.postgres.database import Database
from orchestrator_core.postgres.event_store import EventStore
from orchestrator_core.postgres.queries import load_statements
from orchestrator_core.postgres.ring_store import MAX_LOOK, RingStore
from orchestrator_core.postgres.task_store import TaskStore
from orchestrator_core.tasks import ErrorCode, NewTask, TaskId, TaskPriority, TaskStatus, UserId
from orchestrator_core.tracing import to_trace_context

LOW, NORMAL, HIGH = TaskPriority.LOW, TaskPriority.NORMAL, TaskPriority.HIGH
AGAIN_SECONDS = 30.0
BACKLOG, PIECE = 20_000, 4_000
KEEP_SOME = """
WITH kept AS (
    INSERT INTO tasks (user_id, task_type, payload, max_attempts, timeout_seconds, trace_context)
    SELECT $1, 'T', '{}', 3, 60, 'trace' FROM generate_series(1, $2)
    RETURNING id, id % 200 = 0 AS is_leased
)
INSERT INTO live_tasks (task_id, due_at, ring_at, rings, lease_until, lease_token, lease_owner)
SELECT id, now() - interval '1 min', now() - interval '1 s', (NOT is_leased)::integer,
       CASE WHEN is_leased THEN now() - interval '1 s' END,
       CASE WHEN is_leased THEN gen_random_uuid() END,
       CASE WHEN is_leased THEN gen_random_uuid() END
FROM kept
"""
"""Tasks that wait, and one in 200 whose lease has run out."""


@pytest.fixture
def rings(database: Database) -> RingStore:
    return RingStore(database)


async def keep(
    database: Database,
    user_id: UserId,
    *priorities: TaskPriority,
    max_attempts: int = 3,
    ring_after_seconds: float = 0,
) -> list[TaskId]:
    new = [
        NewTask(
            user_id=user_id,
            task_type="IMAGE_RESIZE",
            payload="{}",
            max_attempts=max_attempts,
            timeout_seconds=60,
            trace_context=to_trace_context(None),
            priority=priority,
        )
        for priority in priorities
    ]
    return await keep_tasks(database, new, ring_after_seconds=ring_after_seconds)


async def claim(tasks: TaskStore, task_id: TaskId, *, lease_seconds: float = 30) -> Claim:
    [won] = await tasks.claim([task_id], worker_id=uuid.uuid4(), lease_seconds=lease_seconds)
    return won


async def take_first(rings: RingStore, *, limit: int = 100) -> list[TaskId]:
    return sorted(await rings.take_first_rings(limit=limit, ring_after_seconds=AGAIN_SECONDS))


async def take_repeats(rings: RingStore, *, limit: int = 100) -> list[TaskId]:
    return sorted(await rings.take_repeats(limit=limit, ring_after_seconds=AGAIN_SECONDS))


async def take_overtaken(rings: RingStore) -> list[TaskId]:
    return await rings.take_overtaken(
        limit=100, ring_after_seconds=AGAIN_SECONDS, by_seconds=60, silent_seconds=300
    )


async def execute(database: Database, statement: str, *arguments: object) -> None:
    async with database.answering("arrange") as connection:
        await connection.execute(statement, *arguments)


async def test_a_task_that_loses_the_lease_of_its_last_attempt_fails(
    rings: RingStore, tasks: TaskStore, database: Database, user_id: UserId
) -> None:
    [task_id] = await keep(database, user_id, NORMAL, max_attempts=1)
    await claim(tasks, task_id, lease_seconds=0)

    failed = await rings.fail_exhausted(limit=10)

    task = await tasks.find(task_id)
    assert failed == [task_id]
    assert task is not None
    assert (task.status, task.error_code) == (TaskStatus.FAILED, "WORKER_LOST")
    events = await EventStore(database).read_of_tasks({task_id: 2}, limit=10)
    assert [event.kind for event in events] == ["WORKER_LOST"]


async def test_what_is_under_a_live_lease_neither_fails_nor_rings(
    rings: RingStore, tasks: TaskStore, database: Database, user_id: UserId
) -> None:
    [task_id] = await keep(database, user_id, NORMAL, max_attempts=1)
    await claim(tasks, task_id)

    assert await rings.fail_exhausted(limit=10) == []
    assert await take_first(rings) == []
    assert await take_repeats(rings) == []


async def test_a_spared_lease_that_ran_out_can_be_extended_while_what_is_due_rings(
    rings: RingStore, tasks: TaskStore, database: Database, user_id: UserId
) -> None:
    leased, due = await keep(database, user_id, NORMAL, NORMAL)
    held = await claim(tasks, leased, lease_seconds=0)
    await execute(database, "UPDATE live_tasks SET rings = 0 WHERE task_id = $1", due)

    rung = await rings.take_first_rings(
        limit=100, ring_after_seconds=AGAIN_SECONDS, spare_leases=True
    )
    lost = await tasks.extend_leases([held], lease_seconds=30)

    assert (rung, lost) == ([due], frozenset())
    assert await take_first(rings) == []


async def test_who_is_to_ring_is_found_with_its_trace(
    rings: RingStore, tasks: TaskStore, database: Database, user_id: UserId
) -> None:
    ids = await keep(database, user_id, NORMAL, NORMAL)
    expected = [task.trace_context for each in ids if (task := await tasks.find(each))]

    found = await rings.find_trace_contexts([*ids, TaskId(10**12)])

    assert sorted(found) == sorted(expected)
    assert len(found) == 2


async def test_a_task_without_an_attempt_left_is_for_ending_and_not_for_ringing(
    rings: RingStore, tasks: TaskStore, database: Database, user_id: UserId
) -> None:
    [task_id] = await keep(database, user_id, NORMAL, max_attempts=1)
    await claim(tasks, task_id, lease_seconds=0)

    rung = await take_first(rings)

    assert rung == []
    assert await rings.fail_exhausted(limit=10) == [task_id]


async def test_a_retry_a_hand_back_and_a_lost_lease_ring_first_each_once(
    rings: RingStore, tasks: TaskStore, database: Database, user_id: UserId
) -> None:
    retried, returned, lost = await keep(database, user_id, NORMAL, NORMAL, NORMAL)
    await claim(tasks, lost, lease_seconds=0)
    for task_id, outcome in (
        (retried, RetryAfter(ErrorCode.TIMEOUT, "slow", 0)),
        (returned, HandedBack()),
    ):
        await tasks.settle([Settlement(claim=await claim(tasks, task_id), outcome=outcome)])

    rung = await take_first(rings)

    assert rung == [retried, returned, lost]
    assert await take_first(rings) == []
    assert await take_repeats(rings) == []


async def test_a_task_that_lost_its_lease_waits_like_any_other_once_it_has_rung(
    rings: RingStore, tasks: TaskStore, database: Database, user_id: UserId
) -> None:
    [task_id] = await keep(database, user_id, NORMAL)
    late = await claim(tasks, task_id, lease_seconds=0)
    await tasks.tend([Tended(claim=late, progress=ProgressReport(0.5))])

    await take_first(rings)

    task = await tasks.find(task_id)
    assert task is not None
    assert task.progress is None
    assert await rings.count_waiting(limit=10) == 1
    assert await tasks.settle([Settlement(claim=late, outcome=HandedBack())]) == [False]
    # The message of any other task brings it.
    [won] = await tasks.claim([TaskId(999)], worker_id=uuid.uuid4(), lease_seconds=30)
    assert (won.task_id, won.attempt) == (task_id, 2)


async def test_a_fresh_task_is_a_repetition_after_the_callers_own_ring_had_its_time(
    rings: RingStore, database: Database, user_id: UserId
) -> None:
    [waiting] = await keep(database, user_id, NORMAL, ring_after_seconds=30)
    is_early = await rings.has_due_repeats()
    [overdue] = await keep(database, user_id, NORMAL)

    assert not is_early
    assert await rings.has_due_repeats()
    assert await take_first(rings) == []
    assert await take_repeats(rings) == [overdue]
    assert not await rings.has_due_repeats()
    assert waiting != overdue


async def test_repetitions_come_in_the_order_of_claims(
    rings: RingStore, database: Database, user_id: UserId
) -> None:
    low, first, second, high = await keep(database, user_id, LOW, NORMAL, NORMAL, HIGH)
    await execute(
        database,
        "UPDATE live_tasks SET due_at = due_at - interval '1 s' WHERE task_id = $1",
        second,
    )

    taken = [await take_repeats(rings, limit=1) for _ in range(5)]

    assert taken == [[high], [second], [first], [low], []]


async def test_those_who_take_at_the_same_time_take_different_ones(
    rings: RingStore, database: Database, user_id: UserId
) -> None:
    kept = await keep(database, user_id, *[NORMAL] * 40)

    taken = await asyncio.gather(*(take_repeats(rings, limit=40) for _ in range(4)))

    everything = [task_id for each in taken for task_id in each]
    assert sorted(everything) == kept


async def test_who_waits_is_counted_up_to_a_limit(
    rings: RingStore, tasks: TaskStore, database: Database, user_id: UserId
) -> None:
    kept = await keep(database, user_id, LOW, NORMAL, HIGH, HIGH)
    await claim(tasks, kept[0])
    await execute(
        database,
        "UPDATE live_tasks SET due_at = now() + interval '1 h' WHERE task_id = $1",
        kept[1],
    )

    assert [await rings.count_waiting(limit=limit) for limit in (0, 1, 2, 9)] == [0, 1, 2, 2]


async def test_what_others_of_its_priority_have_overtaken_rings_and_nothing_else(
    rings: RingStore, tasks: TaskStore, database: Database, user_id: UserId
) -> None:
    lost, rung, low, runs, behind = await keep(
        *(database, user_id), *(NORMAL, NORMAL, LOW, NORMAL, NORMAL)
    )
    await execute(
        database,
        "UPDATE live_tasks SET due_at = now() - interval '9 min',"
        " ring_at = now() - interval '9 min' WHERE task_id = ANY($1::bigint[])",
        [lost, low],
    )
    await execute(
        database,
        "UPDATE live_tasks SET due_at = now() - interval '9 min' WHERE task_id = $1",
        rung,
    )
    early = await take_overtaken(rings)
    await execute(
        database,
        "UPDATE live_tasks SET due_at = now() - interval '1 s' WHERE task_id = ANY($1::bigint[])",
        [runs, behind],
    )
    won = await tasks.claim([runs], worker_id=uuid.uuid4(), lease_seconds=30)

    taken = await take_overtaken(rings)

    assert [each.task_id for each in won] == [runs]
    assert (early, taken) == ([], [lost])
    assert await take_overtaken(rings) == []


def plans_of(node: Any) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("Plans", ()):
        yield from plans_of(child)


STATEMENTS: list[tuple[str, str, list[object]]] = [
    ("rings", "fail_exhausted", [500]),
    ("rings", "take_first_rings", [500, AGAIN_SECONDS, False]),
    ("rings", "has_due_repeats", [MAX_LOOK]),
    ("rings", "count_waiting", [MAX_LOOK]),
    ("rings", "take_repeats", [500, AGAIN_SECONDS, MAX_LOOK]),
    ("rings", "take_overtaken", [100, AGAIN_SECONDS, MAX_LOOK, 60.0, 300.0]),
    ("rings", "find_trace_contexts", [[1, 2, 3]]),
    ("tasks", "find_task", [1]),
    ("tasks", "list_tasks", [1, 0, 2**63 - 1, None, None, 1_000]),
    ("events", "read_progress", [[1, 2, 3], [1], 5_000]),
]


@pytest.fixture
async def backlog(database: Database, user_id: UserId) -> None:
    """Many tasks that wait and some that run, as Postgres knows after a while."""
    for _ in range(BACKLOG // PIECE):
        await execute(database, KEEP_SOME, user_id, PIECE)
    for table in ("tasks", "live_tasks"):
        await execute(database, f"ANALYZE {table}")


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
@pytest.mark.usefixtures("backlog")
async def test_no_statement_looks_at_a_whole_table(database: Database, mode: str) -> None:
    found = {}
    async with database.answering("explain") as connection, connection.transaction():
        await connection.execute(f"SET LOCAL plan_cache_mode = {mode}")
        for noun, name, arguments in STATEMENTS:
            statement = f"EXPLAIN (FORMAT JSON) {load_statements(noun)[name]}"
            plan = json.loads(await connection.fetchval(statement, *arguments))[0]["Plan"]
            found[name] = [each for each in plans_of(plan) if each["Node Type"] == "Seq Scan"]

    assert found == {name: [] for _, name, _ in STATEMENTS}


@pytest.mark.usefixtures("backlog")
async def test_a_deep_backlog_is_rung_for_again_by_the_page(rings: RingStore) -> None:
    first = await take_repeats(rings, limit=500)
    second = await take_repeats(rings, limit=500)

    assert (len(first), len(second)) == (500, 500)
    assert not set(first) & set(second)
