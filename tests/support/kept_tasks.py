"""Tasks that exist, and that end, without API and worker.

Before: a test has a database and a user in it.
After: the tasks are committed, as if they had been submitted.
"""

import uuid
from collections.abc import Sequence

from orchestrator_core.attempts import Outcome, Settlement
from orchestrator_core.postgres.database import Database
from orchestrator_core.postgres.submission_store import SubmissionStore
from orchestrator_core.postgres.task_store import TaskStore
from orchestrator_core.submissions import Kept, Submission
from orchestrator_core.tasks import NewTask, TaskId


async def keep_tasks(
    database: Database, tasks: Sequence[NewTask], *, ring_after_seconds: float = 30.0
) -> list[TaskId]:
    """Keep ``tasks`` in one transaction; return their ids."""
    [verdict] = await SubmissionStore(database).keep(
        [Submission(tasks)], ring_after_seconds=ring_after_seconds
    )
    assert isinstance(verdict, Kept)
    return list(verdict.task_ids)


async def end_task(database: Database, task_id: int, outcome: Outcome) -> None:
    """Claim a task and settle it, as a worker does."""
    store = TaskStore(database)
    [claim] = await store.claim([TaskId(task_id)], worker_id=uuid.uuid4(), lease_seconds=30)
    assert await store.settle([Settlement(claim=claim, outcome=outcome)]) == [True]
