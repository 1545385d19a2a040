"""A task sees and deletes what its owner has, and nothing of anybody else."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from orchestrator_core.owners import (
    CleanUp,
    HistoryFilter,
    ItemKind,
    Period,
    Removal,
    TaskRecord,
)
from orchestrator_core.postgres import owner_store
from orchestrator_core.postgres.account_store import AccountStore
from orchestrator_core.postgres.database import Database
from orchestrator_core.postgres.owner_store import PostgresOwnersData
from orchestrator_core.tasks import TaskStatus, UserId

NOW = datetime.now(UTC).replace(microsecond=0)
MONTH = Period(start=NOW - timedelta(days=30), stop=NOW)
DAY = 86_400
UPLOADS, RESULTS = frozenset({ItemKind.UPLOAD}), frozenset({ItemKind.RESULT})
STATES = ("COMPLETED", "FAILED", "CANCELLED", "PENDING")
A_TASK = """
INSERT INTO tasks (user_id, task_type, payload, max_attempts, timeout_seconds, trace_context,
                   status, created_at, run_at, started_at, finished_at, result_file, error_code,
                   error_message)
VALUES ($1, $2, '{}', 3, 60, 'trace', $3::text::task_status, $4, $5, $6, $7, $8, $9, $10)
RETURNING id
"""
A_RESULT = """
INSERT INTO task_results (task_id, epoch, content, content_type, file_name, sha256, created_at,
                          expires_at)
VALUES ($1, 0, $2, 'text/plain', 'x_' || $1::bigint || '.txt', $3, $4, $5)
"""
A_FILE = """
INSERT INTO files (user_id, size_bytes, sha256, content_type, file_name, created_at, expires_at)
VALUES ($1, 1000, $2, 'text/plain', 'note.txt', $3, $4)
RETURNING id
"""


@dataclass
class Owner:
    """A user with whatever a test gives it."""

    database: Database
    user_id: UserId

    @property
    def data(self) -> PostgresOwnersData:
        return PostgresOwnersData(self.database, self.user_id)

    async def task(  # noqa: PLR0913 - each names one fact of the row
        self,
        status: str = "COMPLETED",
        *,
        task_type: str = "IMAGE_RESIZE",
        age_days: float = 1.0,
        waited_seconds: float = 1.0,
        ran_seconds: float = 2.0,
        late_seconds: float | None = None,
    ) -> int:
        created = NOW - timedelta(days=age_days)
        run_at = None if late_seconds is None else created + timedelta(seconds=late_seconds)
        started = (run_at or created) + timedelta(seconds=waited_seconds)
        is_over = status in ("COMPLETED", "FAILED", "CANCELLED")
        has_run = status in ("COMPLETED", "FAILED")
        task_id: int = await self._value(
            A_TASK,
            self.user_id,
            task_type,
            status,
            created,
            run_at,
            started if has_run else None,
            started + timedelta(seconds=ran_seconds) if is_over else None,
            "result/x" if status == "COMPLETED" else None,
            "HANDLER_ERROR" if status == "FAILED" else None,
            "it broke" if status == "FAILED" else None,
        )
        return task_id

    async def result(
        self, task_id: int, *, age_days: float = 1.0, left_days: float | None = None
    ) -> None:
        expires = None if left_days is None else NOW + timedelta(days=left_days)
        await self._value(
            A_RESULT, task_id, b"x" * 500, bytes(32), NOW - timedelta(days=age_days), expires
        )

    async def file(self, *, age_days: float = 1.0, left_days: float = 1.0) -> int:
        times = (NOW - timedelta(days=age_days), NOW + timedelta(days=left_days))
        file_id: int = await self._value(A_FILE, self.user_id, bytes(32), *times)
        return file_id

    async def history(self, wanted: HistoryFilter | None = None) -> list[TaskRecord]:
        pages = self.data.history(wanted or HistoryFilter())
        return [record async for page in pages for record in page.records]

    async def clean_up(self, what: CleanUp | None = None) -> list[Removal]:
        pages = self.data.clean_up(what or CleanUp())
        return [removal async for page in pages for removal in page.removals]

    async def _value(self, statement: str, *arguments: object) -> Any:
        async with self.database.answering("prepare") as connection:
            return await connection.fetchval(statement, *arguments)


@pytest.fixture
async def owner(database: Database) -> Owner:
    return Owner(database, await AccountStore(database).insert("ada", "hash"))


@pytest.fixture
async def other(database: Database, owner: Owner) -> Owner:
    """Somebody else, with one of everything, older than anybody keeps."""
    _ = owner
    other = Owner(database, await AccountStore(database).insert("eve", "hash"))
    await other.result(await other.task(age_days=20), age_days=20, left_days=-1)
    await other.file(age_days=20, left_days=-1)
    return other


async def test_history_is_the_owners_in_id_order(owner: Owner, other: Owner) -> None:
    ids = [await owner.task(status) for status in STATES]
    await owner.result(ids[0])

    records = await owner.history()

    assert [each.task_id for each in records] == ids
    assert [each.status for each in records] == [TaskStatus(status) for status in STATES]
    assert [each.result_bytes for each in records] == [500, None, None, None]
    assert records[1].error_code == "HANDLER_ERROR"
    assert len(await other.history()) == 1


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (HistoryFilter(), [0, 1, 2, 3]),
        (HistoryFilter(statuses=(TaskStatus.FAILED, TaskStatus.PENDING)), [1, 3]),
        (HistoryFilter(task_types=("send_email",)), [2]),
        (HistoryFilter(created_from=NOW - timedelta(days=5)), [2, 3]),
        (HistoryFilter(created_before=NOW - timedelta(days=5)), [0, 1]),
        (HistoryFilter(statuses=(TaskStatus.FAILED,), task_types=("send_email",)), []),
    ],
)
async def test_history_can_be_filtered(
    owner: Owner, wanted: HistoryFilter, expected: list[int]
) -> None:
    ids = [
        await owner.task("COMPLETED", age_days=9),
        await owner.task("FAILED", age_days=8),
        await owner.task("CANCELLED", age_days=2, task_type="send_email"),
        await owner.task("PENDING", age_days=1),
    ]

    assert [each.task_id for each in await owner.history(wanted)] == [ids[n] for n in expected]


async def test_pages_say_how_far_they_are_and_end_where_they_began(
    owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owner_store, "PAGE_TASKS", 2)
    ids = [await owner.task() for _ in range(5)]
    fractions, seen = [], []
    async for page in owner.data.history(HistoryFilter()):
        fractions.append(page.fraction)
        seen += [each.task_id for each in page.records]
        await owner.task()  # one more for each page: must not be waited for

    assert seen == ids
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0


async def test_activity_is_what_sql_counts(owner: Owner, other: Owner) -> None:
    for number in range(20):
        await owner.task(
            STATES[number % 4],
            task_type=("IMAGE_RESIZE", "send_email")[number % 2],
            age_days=number + 0.5,
            waited_seconds=number / 10,
            ran_seconds=number,
            late_seconds=3600.0 if number % 5 == 0 else None,
        )
    await owner.task(age_days=31)
    assert other.user_id != owner.user_id

    activity = await owner.data.activity(MONTH, listed=3)

    async with owner.database.answering("look") as connection:
        rows = await connection.fetch(
            "SELECT * FROM tasks WHERE user_id = $1 AND created_at >= $2 AND created_at < $3",
            owner.user_id,
            MONTH.start,
            MONTH.stop,
        )
    assert len(rows) == 20
    assert {(each.task_type, each.status, each.tasks) for each in activity.by_type} == {
        (task_type, status, count)
        for task_type in ("IMAGE_RESIZE", "send_email")
        for status in map(TaskStatus, STATES)
        if (count := sum(row["task_type"] == task_type and row["status"] == status for row in rows))
    }
    assert sum(each.tasks for each in activity.by_day) == 20
    assert {each.day for each in activity.by_day} == {row["created_at"].date() for row in rows}
    [latencies] = activity.latencies
    completed = [row for row in rows if row["status"] == "COMPLETED"]
    running = sorted((row["finished_at"] - row["started_at"]).total_seconds() for row in completed)
    waiting = sorted(
        (
            row["started_at"] - max(row["created_at"], row["run_at"] or row["created_at"])
        ).total_seconds()
        for row in completed
    )
    assert latencies.tasks == 5
    assert latencies.running_p50 == running[2]
    assert latencies.waiting_p50 == pytest.approx(waiting[2])
    assert latencies.running_p95 == pytest.approx(_percentile(running, 0.95))
    assert latencies.running_p99 == pytest.approx(_percentile(running, 0.99))
    slowest = sorted(
        (row for row in rows if row["started_at"] and row["finished_at"]),
        key=lambda row: row["finished_at"] - row["started_at"],
        reverse=True,
    )
    assert [each.task_id for each in activity.slowest] == [row["id"] for row in slowest[:3]]
    failed = sorted((r for r in rows if r["status"] == "FAILED"), key=lambda r: r["finished_at"])
    assert [each.task_id for each in activity.failed] == [r["id"] for r in failed[::-1][:3]]


def _percentile(values: Sequence[float], fraction: float) -> float:
    """Return what SQL's ``percentile_cont`` is defined as."""
    place = fraction * (len(values) - 1)
    low = int(place)
    high = min(low + 1, len(values) - 1)
    return values[low] + (values[high] - values[low]) * (place - low)


async def test_an_owner_without_tasks_has_an_empty_activity(owner: Owner, other: Owner) -> None:
    activity = await owner.data.activity(MONTH, listed=3)

    assert (activity.by_type, activity.by_day, activity.latencies) == ([], [], [])
    assert (activity.slowest, activity.failed) == ([], [])
    assert await owner.history() == []
    assert await owner.clean_up() == []
    assert other.user_id != owner.user_id


async def test_what_has_expired_goes_and_nothing_else(owner: Owner, other: Owner) -> None:
    stale, fresh = await owner.file(left_days=-1), await owner.file()
    old, new, kept = [await owner.task() for _ in range(3)]
    await owner.result(old, left_days=-1)
    await owner.result(new, left_days=1)
    await owner.result(kept)

    removals = await owner.clean_up()

    assert [(each.kind, each.id, each.size_bytes) for each in removals] == [
        (ItemKind.UPLOAD, stale, 1000),
        (ItemKind.RESULT, old, 500),
    ]
    assert await owner.clean_up() == []
    assert await _ids(owner, "SELECT id FROM files WHERE user_id = $1") == [fresh]
    assert await _ids(
        owner, "SELECT task_id FROM task_results JOIN tasks t ON t.id = task_id WHERE user_id = $1"
    ) == [new, kept]
    assert len(await other.clean_up(CleanUp(is_trial=True))) == 2, "another's things are there"


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        (CleanUp(older_than_seconds=5 * DAY), {ItemKind.UPLOAD, ItemKind.RESULT}),
        (CleanUp(older_than_seconds=5 * DAY, kinds=UPLOADS), {ItemKind.UPLOAD}),
        (CleanUp(older_than_seconds=5 * DAY, kinds=RESULTS), {ItemKind.RESULT}),
        (CleanUp(older_than_seconds=20 * DAY), set()),
        (CleanUp(), set()),
    ],
)
async def test_what_is_old_goes_on_request(
    owner: Owner, what: CleanUp, expected: set[ItemKind]
) -> None:
    await owner.file(age_days=9)
    await owner.file(age_days=1)
    await owner.result(await owner.task(age_days=9), age_days=9)
    await owner.result(await owner.task(age_days=1), age_days=1)

    assert {each.kind for each in await owner.clean_up(what)} == expected


async def test_a_trial_deletes_nothing(owner: Owner) -> None:
    await owner.file(left_days=-1)
    await owner.result(await owner.task(), left_days=-1)
    trial = CleanUp(is_trial=True)

    assert len(await owner.clean_up(trial)) == len(await owner.clean_up(trial)) == 2
    assert len(await owner.clean_up()) == 2


async def test_an_upload_under_way_is_left_alone(owner: Owner) -> None:
    async with owner.database.answering("prepare") as connection:
        await connection.execute(
            "INSERT INTO files (user_id, size_bytes, content_type, file_name, created_at,"
            " expires_at) VALUES ($1, 0, 'text/plain', 'half.txt', $2, $3)",
            owner.user_id,
            NOW - timedelta(days=9),
            NOW + timedelta(minutes=1),
        )

    assert await owner.clean_up(CleanUp(older_than_seconds=1)) == []


async def test_much_is_deleted_page_by_page(owner: Owner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owner_store, "PAGE_TASKS", 2)
    monkeypatch.setattr(owner_store, "DELETED_AT_ONCE", 2)
    for _ in range(5):
        await owner.file(left_days=-1)
        await owner.result(await owner.task(), left_days=-1)
    fractions = [page.fraction async for page in owner.data.clean_up(CleanUp())]

    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    assert await owner.clean_up() == []


async def test_two_clean_ups_at_once_tell_each_thing_once(owner: Owner) -> None:
    for _ in range(20):
        await owner.file(left_days=-1)

    both = await asyncio.gather(owner.clean_up(), owner.clean_up())

    told = [removal.id for removals in both for removal in removals]
    assert len(told) == len(set(told)) == 20


async def _ids(owner: Owner, statement: str) -> list[int]:
    async with owner.database.answering("look") as connection:
        return sorted(row[0] for row in await connection.fetch(statement, owner.user_id))
