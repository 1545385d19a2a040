"""Remember final tasks in Redis: they never change, so a copy is as good as the row.

Only their owner's reads find them, and what is found is believed only if it is
that owner's, has that id and is final. So the worst that a stale or poisoned
cache can do is to be of no use.

Before: ``service`` is asked for a task.
After: a row from Redis in one round trip, or from Postgres.
"""

from collections.abc import Sequence

import structlog
from pydantic import TypeAdapter, ValidationError

from orchestrator_core.batching import Batcher
from orchestrator_core.errors import StoreUnavailableError
from orchestrator_core.postgres.task_store import TaskStore
from orchestrator_core.redis.cache import Cache
from orchestrator_core.tasks import Task, TaskId, UserId

TTL_SECONDS = 300
"""Whoever polls a task reads its end within seconds; and a database that was put back to an
earlier state is believed again soon."""
_MAX_PAYLOAD_CHARACTERS = 65_536
"""Postgres reads a large payload about as fast as Redis."""
_MAX_WAITING = 256
"""With the payloads' bound some 16 MB; what is not written now will be after the next read."""
_VERSION = 1
"""Raise it when the meaning of a field of ``Task`` changes."""

_TASK = TypeAdapter(Task)
_log = structlog.get_logger(__name__)


class RememberedTasks:
    """Finds tasks. ``run`` must be running for anything to be remembered."""

    def __init__(self, store: TaskStore, cache: Cache) -> None:
        self._store = store
        self._cache = cache
        self._writes: Batcher[Task, None] = Batcher(
            "tasks to remember", self._write, max_batch=64, max_waiting=_MAX_WAITING
        )

    async def run(self) -> None:
        """Write what is to be remembered, until cancelled."""
        await self._writes.run()

    async def drain(self) -> None:
        """Wait until nothing is left to write. ``run`` must be running."""
        await self._writes.drain()

    async def find(self, task_id: TaskId, *, reader: UserId) -> Task | None:
        """Return the task of this id, whoever owns it; None if there is none.

        Raises:
            StoreUnavailableError: it is not remembered and Postgres is away.
        """
        task = await self._recall(task_id, reader)
        if task is None:
            task = await self._store.find(task_id)
            if task is not None and _is_worth_remembering(task):
                # Nobody waits for it; a full queue drops it.
                self._writes.offer(task)
        return task

    async def _recall(self, task_id: TaskId, reader: UserId) -> Task | None:
        try:
            text = await self._cache.get(_to_name(task_id, reader))
            task = None if text is None else _TASK.validate_json(text)
        except StoreUnavailableError:
            return None
        except ValidationError:
            # Another release's, whose tasks have other fields.
            return None
        is_good = (
            task is not None
            and task.id == task_id
            and task.user_id == reader
            and task.status.is_final
        )
        return task if is_good else None

    async def _write(self, tasks: Sequence[Task]) -> list[None]:
        texts = {_to_name(task.id, task.user_id): _TASK.dump_json(task) for task in tasks}
        try:
            await self._cache.put_many(texts, ttl_seconds=TTL_SECONDS)
        except StoreUnavailableError as error:
            _log.debug("tasks not remembered", count=len(tasks), reason=str(error))
        return [None] * len(tasks)


def _is_worth_remembering(task: Task) -> bool:
    return task.status.is_final and len(task.payload) <= _MAX_PAYLOAD_CHARACTERS


def _to_name(task_id: TaskId, owner: UserId) -> str:
    return f"task:{_VERSION}:{owner}:{task_id}"
