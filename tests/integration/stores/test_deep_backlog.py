"""Half a million queued tasks change neither how statements are run nor how long they take."""

import asyncio
import statistics
import time
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import pytest

import services
from explained import explain
from orchestrator_core.attempts import Failed, Settlement
from orchestrator_core.postgres.account_store import AccountStore
from orchestrator_core.postgres.database import Database
from orchestrator_core.postgres.load_store import LoadStore
from orchestrator_core.postgres.queries import load_statements
from orchestrator_core.postgres.ring_store import RingStore
from orchestrator_core.postgres.submission_store import SubmissionStore
from orchestrator_core.postgres.task_store import TaskStore
from orchestrator_core.settings import PostgresSettings
from orchestrator_core.submissions import Kept, Submission
from orchestrator_core.tasks import ErrorCode, NewTask, TaskId, UserId
from orchestrator_core.tracing import to_trace_context
from own_stores import create_database, drop_database, settings_of

BACKLOG_TASKS = 500_000
SUBMISSIONS = 64
CLAIMS = 50
WARM_UPS = 8
"""Connections keep a plan from the sixth time on."""
ROUNDS = 40
TRIES = 3
"""Another process may take the machine from one half of a round; not thrice from most of them."""
MAX_TIMES_LONGER = 1.25
"""The rate is at least 80 %."""
MAX_GROWTH_BYTES = 8 << 20
NO_SUCH_TASK = 2**40
USER_ID = UserId(1)
TABLES = {"tasks", "live_tasks", "task_events", "task_results"}

HOT = {
    "attempts": None,
    "rings": None,
    "submissions": {"keep_submissions", "find_keys", "keep_retry", "find_retry"},
    "workers": {"read_load", "list_workers"},
    "tasks": None,
    "explanations": None,
    "events": {"read_events_of_tasks", "read_event_page"},
    # Counts of an owner read all of the owner's tasks; this owner has all there are.
    "owners": {
        "find_history_span",
        "find_page_end",
        "read_history",
        "find_stale_uploads",
        "delete_uploads",
        "find_stale_results",
        "delete_results",
    },
    "files": {"find_result", "prune_results"},
}
"""Statements by file; None: all of it."""

FILLS = (
    """
    INSERT INTO tasks (id, user_id, task_type, payload, max_attempts, timeout_seconds,
                       trace_context, priority)
    OVERRIDING SYSTEM VALUE
    SELECT n, 1, 'IMAGE_RESIZE', '{"image_url": "https://example.com/a.png"}', 3, 60,
           '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', (n % 5 > 0)::integer
    FROM generate_series(1, $1::integer) AS n
    """,
    """
    INSERT INTO live_tasks (task_id, priority, due_at, ring_at, rings)
    SELECT n, (n % 5 > 0)::integer, now() - ($1 - n) * interval '1 ms', now() + interval '1 h', 1
    FROM generate_series(1, $1::integer) AS n
    """,
    """
    INSERT INTO task_events (task_id, seq, epoch, status, kind, actor)
    SELECT n, 1, 0, 'PENDING', 'ACCEPTED', 'api' FROM generate_series(1, $1::integer) AS n
    """,
    "SELECT setval('tasks_id_seq', $1)",
)


@dataclass
class Place:
    """A database and what one needs to work in it."""

    database: Database
    worker_id: uuid.UUID = field(default_factory=uuid.uuid4)


@asynccontextmanager
async def by_hand(settings: PostgresSettings) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(
        host=settings.host, port=settings.port, user=settings.user, database=settings.database
    )
    try:
        yield connection
    finally:
        await connection.close()


async def fill(settings: PostgresSettings) -> None:
    await asyncio.gather(*(run_unchecked(settings, statement) for statement in FILLS))
    async with by_hand(settings) as connection:
        # As autovacuum does after a while.
        await connection.execute("VACUUM (ANALYZE) tasks, live_tasks, task_events")


async def run_unchecked(settings: PostgresSettings, statement: str) -> None:
    async with by_hand(settings) as connection:
        # Rows that fit each other by construction need no check; checks take twice as long.
        await connection.execute("SET session_replication_role = replica")
        await connection.execute(statement, BACKLOG_TASKS)


async def make_place(port: int) -> PostgresSettings:
    settings = settings_of(port, await create_database(port))
    async with Database.open(settings, application="test", max_connections=1) as database:
        assert await AccountStore(database).insert("ada", "hash") == USER_ID
    return settings


@pytest.fixture(scope="module")
def filled(postgres_service: services.Service) -> Iterator[PostgresSettings]:
    """A database with the backlog, made once: it takes ten seconds."""
    settings = asyncio.run(make_place(postgres_service.port))
    asyncio.run(fill(settings))
    yield settings
    asyncio.run(drop_database(postgres_service.port, settings.database))


@pytest.fixture
async def deep(filled: PostgresSettings) -> AsyncIterator[Place]:
    async with Database.open(filled, application="test", max_connections=1) as database:
        yield Place(database)


@pytest.fixture
async def empty(postgres_service: services.Service) -> AsyncIterator[Place]:
    """A database as an installation begins."""
    settings = await make_place(postgres_service.port)
    async with Database.open(settings, application="test", max_connections=1) as database:
        yield Place(database)
    await drop_database(postgres_service.port, settings.database)


async def do_round(place: Place, *, is_hinted: bool) -> Mapping[str, float]:
    """Submit, claim and settle a batch; return the seconds that each took."""
    submissions = [Submission([a_task()]) for _ in range(SUBMISSIONS)]
    store = TaskStore(place.database)
    start = time.perf_counter()

    verdicts = await SubmissionStore(place.database).keep(submissions, ring_after_seconds=3600)
    kept_at = time.perf_counter()
    ids = [id_ for verdict in verdicts if isinstance(verdict, Kept) for id_ in verdict.task_ids]
    hints = ids[:CLAIMS] if is_hinted else [TaskId(NO_SUCH_TASK + n) for n in range(CLAIMS)]
    claiming_at = time.perf_counter()
    claims = await store.claim(hints, worker_id=place.worker_id, lease_seconds=3600)
    claimed_at = time.perf_counter()
    settlements = [
        Settlement(claim=each, outcome=Failed(ErrorCode.HANDLER_ERROR, "no")) for each in claims
    ]
    settling_at = time.perf_counter()
    answers = await store.settle(settlements)
    settled_at = time.perf_counter()

    assert answers == [True] * CLAIMS
    return {
        "submit": kept_at - start,
        "claim what is named" if is_hinted else "claim what waits": claimed_at - claiming_at,
        "settle": settled_at - settling_at,
    }


def a_task() -> NewTask:
    return NewTask(
        user_id=USER_ID,
        task_type="IMAGE_RESIZE",
        payload='{"image_url": "https://example.com/a.png"}',
        max_attempts=3,
        timeout_seconds=60,
        trace_context=to_trace_context(None),
    )


async def compare(deep: Place, empty: Place) -> dict[str, float]:
    """Return how many times longer each step takes in the deep one, as the median of rounds."""
    ratios: dict[str, list[float]] = {}
    for number in range(ROUNDS):
        is_hinted = bool(number % 2)
        # Neither is always the first one.
        first, second = (deep, empty) if number % 4 < 2 else (empty, deep)
        seconds = {
            id(place): await do_round(place, is_hinted=is_hinted) for place in (first, second)
        }
        for step, taken in seconds[id(deep)].items():
            ratios.setdefault(step, []).append(taken / seconds[id(empty)][step])
    return {step: statistics.median(values) for step, values in ratios.items()}


def resident_bytes() -> int:
    """Return this process's memory."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096


async def warm_up(*places: Place) -> None:
    for _ in range(WARM_UPS):
        for place in places:
            await do_round(place, is_hinted=True)
            await do_round(place, is_hinted=False)


async def test_no_hot_statement_reads_a_deep_backlog_from_end_to_end(
    filled: PostgresSettings,
) -> None:
    found = {}

    async with by_hand(filled) as connection:
        for noun, names in HOT.items():
            statements = load_statements(noun)
            for name in names or statements:
                scans = await explain(connection, statements[name])
                found[name] = {each.table for each in scans if each.how == "Seq Scan"}

    assert {name: read & TABLES for name, read in found.items() if read & TABLES} == {}


async def test_half_a_million_queued_tasks_slow_nothing_down(deep: Place, empty: Place) -> None:
    await warm_up(deep, empty)

    best: dict[str, float] = {}
    for _ in range(TRIES):
        for step, ratio in (await compare(deep, empty)).items():
            best[step] = min(ratio, best.get(step, ratio))
        if max(best.values()) <= MAX_TIMES_LONGER:
            break

    assert len(best) == 4
    assert {step: ratio for step, ratio in best.items() if ratio > MAX_TIMES_LONGER} == {}


async def test_working_in_a_deep_backlog_takes_no_memory_of_its_depth(deep: Place) -> None:
    rings = RingStore(deep.database)
    await warm_up(deep)
    before = resident_bytes()

    for _ in range(WARM_UPS):
        await do_round(deep, is_hinted=False)
        assert await rings.count_waiting(limit=1_000) == 1_000
        assert await rings.take_first_rings(limit=100, ring_after_seconds=60) == []
        assert await rings.fail_exhausted(limit=100) == []
        assert await rings.take_repeats(limit=100, ring_after_seconds=60) == []
        assert (await LoadStore(deep.database).read()).ready_tasks >= 20_000

    assert resident_bytes() - before <= MAX_GROWTH_BYTES
