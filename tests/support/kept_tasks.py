"""Tasks that exist, without the API.

Before: a test has a database and a user in it.
After: the tasks are committed, as if they had been submitted.
"""

from collections.abc import Sequence

from orchestrator_core.postgres.database import Database
from orchestrator_core.postgres.submission_store import SubmissionStore
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
