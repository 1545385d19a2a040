"""Submit and read tasks.

Before: ``endpoints`` has a validated wish and its owner.
After: a committed row, or rows as their owner may see them.
"""

from dataclasses import dataclass
from typing import TypeAlias

from orchestrator_api.errors import NoResultError
from orchestrator_api.tasks.catalogue import Catalogue
from orchestrator_api.tasks.schemas import SubmitTask
from orchestrator_api.tasks.understanding import understand
from orchestrator_core.batching import Batcher
from orchestrator_core.postgres.task_store import TaskStore
from orchestrator_core.tasks import NewTask, StoredResult, Task, TaskId, TaskSummary, UserId

Keeper: TypeAlias = Batcher[NewTask, TaskId]


@dataclass(frozen=True, slots=True)
class Page:
    """Some tasks of a list, in id order."""

    tasks: list[TaskSummary]
    next_cursor: TaskId | None
    """Where the next page begins; None on the last."""


class TaskService:
    """The use cases of tasks."""

    def __init__(self, store: TaskStore, catalogue: Catalogue, keeper: Keeper) -> None:
        self._store = store
        self._catalogue = catalogue
        self._keeper = keeper

    async def submit(self, wish: SubmitTask, *, user_id: UserId, trace_context: str) -> TaskId:
        """Keep a task; when this returns, its row is committed.

        Raises:
            UnknownTaskTypeError: no worker runs this type.
            InvalidRequestError: names each field that does not fit the type.
            OverloadedError: too many tasks wait for their commit; nothing was kept.
            StoreUnavailableError: nothing is known to be kept.
        """
        known = await self._catalogue.find(wish.task_type)
        task = understand(wish, known, user_id=user_id, trace_context=trace_context)
        return await self._keeper.submit(task)

    async def find(self, task_id: TaskId) -> Task | None:
        """Return the task of this id, whoever owns it; only ``ownership`` may ask."""
        return await self._store.find(task_id)

    async def read_result(self, task: Task) -> StoredResult:
        """Return the file that ``task`` left.

        Raises:
            NoResultError: it has left no file (yet).
        """
        result = await self._store.find_result(task.id)
        if result is None:
            raise NoResultError(task.id, task.status)
        return result

    async def list_page(self, user_id: UserId, *, after: TaskId, limit: int) -> Page:
        """Return a page of the tasks of ``user_id``."""
        # One more than asked for tells whether a next page exists.
        found = await self._store.list_for_user(user_id, after=after, limit=limit + 1)
        tasks = found[:limit]
        return Page(tasks, tasks[-1].id if len(found) > limit else None)
