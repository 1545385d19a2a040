"""Results as workers keep them and the API reads them, in rows or in an object store.

Before: a test has a database, and a bucket.
After: its tasks are completed, their results where the store has them.
"""

from dataclasses import dataclass
from random import Random
from uuid import uuid4

from kept_tasks import keep_tasks
from orchestrator_core.attempts import Claim, ReturnedResult, Settlement, Succeeded
from orchestrator_core.files import ResultStore
from orchestrator_core.postgres.account_store import AccountStore
from orchestrator_core.postgres.database import Database
from orchestrator_core.postgres.result_store import PostgresResultStore
from orchestrator_core.postgres.task_store import TaskStore
from orchestrator_core.s3.object_store import READER, S3ObjectStore
from orchestrator_core.settings import S3Settings
from orchestrator_core.tasks import NewTask, TaskId, UserId
from orchestrator_worker.storing import KeepResult, ObjectKeeper, carry_result


@dataclass(frozen=True)
class KeptResults:
    """A store of results, and the worker's way into it."""

    database: Database
    results: ResultStore
    keep: KeepResult

    async def complete(self, result: ReturnedResult, *, for_seconds: float | None = None) -> TaskId:
        """Complete a task with a result."""
        claim = await self.claim()
        outcome = Succeeded(await self.keep(claim, result))
        tasks = TaskStore(self.database, keep_results_seconds=for_seconds)
        assert await tasks.settle([Settlement(claim=claim, outcome=outcome)]) == [True]
        return claim.task_id

    async def claim(self) -> Claim:
        """Claim a new task of a new user."""
        user_id = await AccountStore(self.database).insert(uuid4().hex, "hash")
        [task_id] = await keep_tasks(self.database, [a_new_task(user_id)])
        [claim] = await TaskStore(self.database).claim(
            [task_id], worker_id=uuid4(), lease_seconds=30
        )
        return claim

    async def execute(self, query: str, *arguments: object) -> None:
        async with self.database.answering("change a result") as connection:
            await connection.execute(query, *arguments)

    async def read(self, task_id: TaskId, *, start: int, stop: int) -> list[bytes]:
        """Return the pieces of a result."""
        result = await self.results.find(task_id)
        assert result is not None
        return [piece async for piece in self.results.read(result, start=start, stop=stop)]


def in_rows(database: Database) -> KeptResults:
    """Keep results beside their tasks."""
    return KeptResults(database, PostgresResultStore(database), carry_result)


def in_objects(database: Database, settings: S3Settings) -> KeptResults:
    """Keep results in a bucket."""
    objects = S3ObjectStore(settings, READER)
    results = PostgresResultStore(database, objects)
    keeper = ObjectKeeper(objects, results.expect, chance=Random(1))
    return KeptResults(database, results, keeper.keep)


def a_new_task(user_id: UserId) -> NewTask:
    return NewTask(
        user_id=user_id,
        task_type="any",
        payload="{}",
        max_attempts=1,
        timeout_seconds=60,
        trace_context="trace",
    )
