"""Read, list and cancel tasks.

Before: ``endpoints`` knows whose they are.
After: rows as their owner may see them.
"""

from collections.abc import Callable
from dataclasses import dataclass

from orchestrator_api.errors import ConflictError
from orchestrator_api.tasks.remembering import RememberedTasks
from orchestrator_core.errors import TaskNotFoundError
from orchestrator_core.postgres.task_store import TaskFilter, TaskStore
from orchestrator_core.tasks import Task, TaskId, TaskStatus, TaskSummary, UserId


@dataclass(frozen=True, slots=True)
class Page:
    """Some tasks of a list, in id order."""

    tasks: list[TaskSummary]
    next_cursor: TaskId | None
    """Where the next page begins; None on the last."""


class TaskService:
    """The use cases of tasks that exist."""

    def __init__(
        self, store: TaskStore, remembered: RememberedTasks, announce: Callable[[], None]
    ) -> None:
        """Take the stores, and what to call when a task was moved."""
        self._store = store
        self._remembered = remembered
        self._announce = announce

    async def find(self, task_id: TaskId, *, reader: UserId) -> Task | None:
        """Return the task of this id, whoever owns it; only ``ownership`` may ask."""
        return await self._remembered.find(task_id, reader=reader)

    async def read_again(self, task: Task) -> Task:
        """Return ``task`` as it is now.

        Raises:
            TaskNotFoundError: it is gone.
        """
        found = await self._store.find(task.id)
        if found is None:
            raise TaskNotFoundError(task.id)
        return found

    async def list_page(
        self, user_id: UserId, wanted: TaskFilter, *, after: TaskId, limit: int
    ) -> Page:
        """Return a page of the tasks of ``user_id``.

        With a filter a page may hold fewer than ``limit`` tasks, or none, and yet be
        followed by others: it ends where a bounded look at the tasks ends.
        """
        # One more than asked for tells whether a next page exists.
        found = await self._store.list_for_user(user_id, wanted, after=after, limit=limit + 1)
        tasks = found.tasks[:limit]
        is_full = len(found.tasks) > limit
        return Page(tasks, tasks[-1].id if is_full else found.scan_end)

    async def cancel(self, task: Task) -> Task:
        """End ``task``, whether it waits or runs, and return it as it is then.

        Raises:
            ConflictError: it has ended by itself.
            StoreUnavailableError: nothing is known to have changed.
        """
        if not task.status.is_final:
            if await self._store.cancel(task.id):
                self._announce()
            task = await self.read_again(task)
        if task.status is not TaskStatus.CANCELLED:
            raise ConflictError(f"Task {task.id} is {task.status} and can't be cancelled any more")
        return task
