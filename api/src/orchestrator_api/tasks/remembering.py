"""Remember final tasks: they never change.

Only their owner's reads find them, and what is found is believed only if it is
that owner's, has that id and is final.

Before: ``service`` is asked for a task.
After: a row from Redis in one round trip, or from Postgres.
"""

from orchestrator_api.remembering import Memory
from orchestrator_core.postgres.task_store import TaskStore
from orchestrator_core.redis.cache import Cache
from orchestrator_core.tasks import Task, TaskId, UserId

_MAX_PAYLOAD_CHARACTERS = 65_536
"""Postgres reads a large payload about as fast as Redis."""
_VERSION = 1
"""Raise it when the meaning of a field of ``Task`` changes."""


class RememberedTasks:
    """Finds tasks. Its memory must be running for anything to be remembered."""

    def __init__(self, store: TaskStore, cache: Cache) -> None:
        self._store = store
        self.memory = Memory(cache, Task, what="tasks")

    async def find(self, task_id: TaskId, *, reader: UserId) -> Task | None:
        """Return the task of this id, whoever owns it; None if there is none.

        Raises:
            StoreUnavailableError: it is not remembered and Postgres is away.
        """
        remembered = await self.memory.recall(_to_name(task_id, reader))
        if remembered is not None and _is_good(remembered, task_id, reader):
            return remembered
        task = await self._store.find(task_id)
        if task is not None and _is_worth_remembering(task):
            self.memory.remember(_to_name(task.id, task.user_id), task)
        return task


def _is_good(task: Task, task_id: TaskId, reader: UserId) -> bool:
    return task.id == task_id and task.user_id == reader and task.status.is_final


def _is_worth_remembering(task: Task) -> bool:
    return task.status.is_final and len(task.payload) <= _MAX_PAYLOAD_CHARACTERS


def _to_name(task_id: TaskId, owner: UserId) -> str:
    return f"task:{_VERSION}:{owner}:{task_id}"
