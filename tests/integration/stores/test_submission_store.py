"""The submission store's promises, against real Postgres."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from orchestrator_core.attempts import Failed, Settlement
from orchestrator_core.errors import RowRefusedError, StoreUnavailableError
from orchestrator_core.postgres.account_store import AccountStore
from orchestrator_core.postgres.database import Database
from orchestrator_core.postgres.submission_store import SubmissionStore
from orchestrator_core.postgres.task_store import EVERYTHING, TaskStore
from orchestrator_core.settings import PostgresSettings
from orchestrator_core.submissions import (
    IdempotencyKey,
    Kept,
    KeyClash,
    KeyInFlight,
    Replayed,
    Submission,
    Verdict,
)
from orchestrator_core.tasks import ErrorCode, NewTask, TaskId, TaskPriority, TaskStatus, UserId
from orchestrator_core.tracing import to_trace_context

ONE, OTHER = b"1" * 32, b"2" * 32
TRACE = to_trace_context(None)
ANY_WORKER = UUID(int=1)


@pytest.fixture
def store(database: Database) -> SubmissionStore:
    return SubmissionStore(database)


@pytest.fixture
async def other_store(postgres_settings: PostgresSettings) -> AsyncIterator[SubmissionStore]:
    """Another replica's."""
    async with Database.open(postgres_settings, application="other", max_connections=4) as opened:
        yield SubmissionStore(opened)


def a_task(user_id: UserId, **fields: Any) -> NewTask:
    defaults: dict[str, Any] = {
        "user_id": user_id,
        "task_type": "IMAGE_RESIZE",
        "payload": "{}",
        "max_attempts": 3,
        "timeout_seconds": 60,
        "trace_context": TRACE,
    }
    return NewTask(**{**defaults, **fields})


def a_submission(
    user_id: UserId, key: str | None = None, *, fingerprint: bytes = ONE, count: int = 1
) -> Submission:
    named = key and IdempotencyKey(user_id=user_id, key=key, fingerprint=fingerprint)
    return Submission([a_task(user_id)] * count, named or None)


async def keep(store: SubmissionStore, *submissions: Submission) -> Sequence[Verdict]:
    return await store.keep(submissions, ring_after_seconds=30)


async def keep_one(store: SubmissionStore, submission: Submission) -> Verdict:
    [verdict] = await keep(store, submission)
    return verdict


async def kept_ids(store: SubmissionStore, submission: Submission) -> Sequence[TaskId]:
    verdict = await keep_one(store, submission)
    assert isinstance(verdict, Kept)
    return verdict.task_ids


async def count_tasks(database: Database) -> int:
    async with database.answering("count") as connection:
        return int(await connection.fetchval("SELECT count(*) FROM tasks"))


async def make_keys_older(database: Database, by: timedelta) -> None:
    async with database.answering("move the clock on") as connection:
        await connection.execute(
            "UPDATE idempotency_keys SET created_at = created_at - $1::interval", by
        )


async def test_ids_come_back_in_the_order_of_the_submissions_and_their_tasks(
    store: SubmissionStore, tasks: TaskStore, user_id: UserId
) -> None:
    batch = [
        Submission([a_task(user_id, task_type=f"T{n}.{m}") for m in range(n % 3 + 1)])
        for n in range(100)
    ]

    verdicts = await keep(store, *batch)

    for verdict, submission in zip(verdicts, batch, strict=True):
        assert isinstance(verdict, Kept)
        found = [await tasks.find(task_id) for task_id in verdict.task_ids]
        assert [each.task_type for each in found if each] == [
            each.task_type for each in submission.tasks
        ]


async def test_a_batch_with_one_bad_row_keeps_nothing_and_no_key(
    store: SubmissionStore, tasks: TaskStore, user_id: UserId
) -> None:
    bad = Submission([a_task(user_id, payload='{"a": "\\u0000"}')])

    with pytest.raises(RowRefusedError):
        await keep(store, a_submission(user_id, "key"), bad)

    found = await tasks.list_for_user(user_id, EVERYTHING, after=TaskId(0), limit=10)
    assert found.tasks == []
    assert isinstance(await keep_one(store, a_submission(user_id, "key")), Kept)


async def test_a_plan_is_stored_as_it_was_made(
    store: SubmissionStore, tasks: TaskStore, user_id: UserId
) -> None:
    run_at = datetime(2031, 5, 6, 7, 8, 9, 123_456, tzinfo=UTC)
    wish = a_task(user_id, run_at=run_at, priority=TaskPriority.HIGH)

    [task_id] = await kept_ids(store, Submission([wish]))

    task = await tasks.find(task_id)
    assert task is not None
    assert (task.run_at, task.priority, task.retry_of) == (run_at, TaskPriority.HIGH, None)


async def test_only_what_may_run_now_is_due_and_the_sweep_rings_for_the_rest_at_its_time(
    store: SubmissionStore, tasks: TaskStore, user_id: UserId, database: Database
) -> None:
    now = datetime.now(UTC)
    times = [None, now - timedelta(days=1), now + timedelta(hours=1)]

    verdict = await keep_one(
        store, Submission([a_task(user_id, run_at=run_at) for run_at in times])
    )

    assert isinstance(verdict, Kept)
    at_once, overdue, later = verdict.task_ids
    assert verdict.due_ids == [at_once, overdue]
    async with database.answering("look") as connection:
        rows = await connection.fetch("SELECT task_id, due_at, ring_at FROM live_tasks")
    live = {row["task_id"]: row for row in rows}
    assert live[later]["due_at"] == live[later]["ring_at"] == times[2]
    assert live[overdue]["due_at"] < live[overdue]["ring_at"]
    claims = await tasks.claim(verdict.task_ids, worker_id=ANY_WORKER, lease_seconds=30)
    assert [claim.task_id for claim in claims] == [at_once, overdue]


async def test_the_same_key_and_content_again_keep_nothing_and_name_the_same_tasks(
    store: SubmissionStore, user_id: UserId, database: Database
) -> None:
    ids = await kept_ids(store, a_submission(user_id, "key", count=3))

    again = await keep_one(store, a_submission(user_id, "key", count=3))

    assert again == Replayed(ids)
    assert await count_tasks(database) == 3


async def test_a_key_with_other_content_is_a_clash_and_keeps_nothing(
    store: SubmissionStore, user_id: UserId, database: Database
) -> None:
    await keep_one(store, a_submission(user_id, "key"))

    other = await keep_one(store, a_submission(user_id, "key", fingerprint=OTHER))

    assert other == KeyClash()
    assert await count_tasks(database) == 1


async def test_in_one_batch_known_keys_new_keys_and_no_keys_each_get_their_own_verdict(
    store: SubmissionStore, user_id: UserId, database: Database
) -> None:
    known = await kept_ids(store, a_submission(user_id, "known"))

    verdicts = await keep(
        store,
        a_submission(user_id),
        a_submission(user_id, "known"),
        a_submission(user_id, "new"),
        a_submission(user_id, "new"),
        a_submission(user_id, "known", fingerprint=OTHER),
        a_submission(user_id),
    )

    assert [type(each) for each in verdicts] == [
        *(Kept, Replayed, Kept, KeyInFlight, KeyInFlight, Kept)
    ]
    assert verdicts[1] == Replayed(known)
    assert await count_tasks(database) == 4


async def test_submissions_with_one_key_on_many_connections_make_one_task(
    store: SubmissionStore, other_store: SubmissionStore, user_id: UserId, database: Database
) -> None:
    verdicts = await asyncio.gather(
        *(keep_one(each, a_submission(user_id, "key")) for each in [store, other_store] * 8)
    )

    [kept] = [each for each in verdicts if isinstance(each, Kept)]
    assert [each for each in verdicts if each != kept] == [Replayed(kept.task_ids)] * 15
    assert await count_tasks(database) == 1


async def test_batches_that_share_keys_in_different_orders_do_not_end_in_a_deadlock(
    store: SubmissionStore, other_store: SubmissionStore, user_id: UserId, database: Database
) -> None:
    batch = [a_submission(user_id, f"key {n}") for n in range(50)]

    for _ in range(5):
        await asyncio.gather(keep(store, *batch), keep(other_store, *reversed(batch)))
        await make_keys_older(database, timedelta(hours=25))

    assert await count_tasks(database) == 5 * len(batch)


class AwayForLookUps(Database):
    """Postgres goes away right after the commit."""

    def __init__(self, present: Database) -> None:
        self._present = present

    @asynccontextmanager
    async def answering(self, attempted: str) -> AsyncIterator[Any]:
        if attempted.startswith("look up"):
            raise StoreUnavailableError("postgres", attempted)
        async with self._present.answering(attempted) as connection:
            yield connection


async def test_what_was_committed_is_told_although_a_known_key_cant_be_looked_up(
    store: SubmissionStore, user_id: UserId, database: Database
) -> None:
    await keep_one(store, a_submission(user_id, "known"))

    verdicts = await keep(
        SubmissionStore(AwayForLookUps(database)),
        a_submission(user_id),
        a_submission(user_id, "known"),
    )

    assert [type(each) for each in verdicts] == [Kept, KeyInFlight]


async def test_keys_of_different_users_do_not_meet(
    store: SubmissionStore, user_id: UserId, database: Database
) -> None:
    stranger = await AccountStore(database).insert("eve", "hash")

    verdicts = await keep(store, a_submission(user_id, "key"), a_submission(stranger, "key"))

    assert all(isinstance(each, Kept) for each in verdicts)
    assert await count_tasks(database) == 2


async def test_after_a_day_a_key_is_new_and_stands_for_its_new_tasks(
    store: SubmissionStore, user_id: UserId, database: Database
) -> None:
    first = await kept_ids(store, a_submission(user_id, "key"))
    await make_keys_older(database, timedelta(hours=23, minutes=59))
    within = await keep_one(store, a_submission(user_id, "key"))
    await make_keys_older(database, timedelta(minutes=2))

    after = await kept_ids(store, a_submission(user_id, "key", fingerprint=OTHER))

    assert within == Replayed(first)
    assert after != first
    again = await keep_one(store, a_submission(user_id, "key", fingerprint=OTHER))
    assert again == Replayed(after)


async def test_pruning_forgets_the_oldest_keys_that_count_no_more_and_no_others(
    store: SubmissionStore, user_id: UserId, database: Database
) -> None:
    await keep(store, *(a_submission(user_id, f"old {n}") for n in range(3)))
    await make_keys_older(database, timedelta(hours=25))
    ids = await kept_ids(store, a_submission(user_id, "fresh"))

    pruned = [await store.prune_keys(limit=2) for _ in range(3)]

    assert pruned == [2, 1, 0]
    assert await keep_one(store, a_submission(user_id, "fresh")) == Replayed(ids)


async def fail(tasks: TaskStore, task_id: TaskId) -> None:
    [claim] = await tasks.claim([task_id], worker_id=ANY_WORKER, lease_seconds=30)
    failed = Failed(ErrorCode.HANDLER_ERROR, "no")
    assert await tasks.settle([Settlement(claim=claim, outcome=failed)]) == [True]


async def retry(store: SubmissionStore, task_id: TaskId) -> Verdict | None:
    return await store.retry(task_id, trace_context=TRACE, ring_after_seconds=30)


async def test_a_failed_task_runs_again_as_a_new_one_with_the_same_content(
    store: SubmissionStore, tasks: TaskStore, user_id: UserId
) -> None:
    wish = a_task(user_id, payload='{"width": 7}', max_attempts=1, priority=TaskPriority.LOW)
    [failed] = await kept_ids(store, Submission([wish]))
    await fail(tasks, failed)

    verdict = await retry(store, failed)

    assert isinstance(verdict, Kept)
    [task_id] = verdict.due_ids
    old, new = await tasks.find(failed), await tasks.find(task_id)
    assert old is not None
    assert new is not None
    assert old.status is TaskStatus.FAILED
    assert (new.status, new.attempts, new.retry_of) == (TaskStatus.PENDING, 0, failed)
    for name in ("user_id", "task_type", "payload", "max_attempts", "timeout_seconds", "priority"):
        assert getattr(new, name) == getattr(old, name)
    claims = await tasks.claim([task_id], worker_id=ANY_WORKER, lease_seconds=30)
    assert [claim.task_id for claim in claims] == [task_id]


async def test_a_failed_task_runs_again_once_however_many_ask(
    store: SubmissionStore, other_store: SubmissionStore, tasks: TaskStore, user_id: UserId
) -> None:
    [failed] = await kept_ids(store, a_submission(user_id))
    await fail(tasks, failed)

    verdicts = await asyncio.gather(*(retry(each, failed) for each in [store, other_store] * 4))

    [kept] = [each for each in verdicts if isinstance(each, Kept)]
    assert [each for each in verdicts if each != kept] == [Replayed(kept.task_ids)] * 7


async def test_a_task_that_has_not_failed_does_not_run_again(
    store: SubmissionStore, tasks: TaskStore, user_id: UserId, database: Database
) -> None:
    [waiting, running, cancelled] = await kept_ids(store, a_submission(user_id, count=3))
    await tasks.claim([running], worker_id=ANY_WORKER, lease_seconds=30)
    await tasks.cancel(cancelled)

    verdicts = [await retry(store, each) for each in (waiting, running, cancelled, TaskId(10**9))]

    assert verdicts == [None] * 4
    assert await count_tasks(database) == 3
