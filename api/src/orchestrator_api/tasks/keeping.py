"""Keep tasks: rows of many requests in one transaction, then ring for them.

Before: requests submit ``NewTask``s and wait.
After: each has the id of its committed row; the ring is offered without waiting.
"""

from collections.abc import Sequence

from orchestrator_api.dispatching import FIRST_RING_LOST_SECONDS, FirstRings
from orchestrator_api.tasks.service import Keeper
from orchestrator_core.batching import Batcher
from orchestrator_core.postgres.task_store import TaskStore
from orchestrator_core.tasks import NewTask, TaskId

MAX_BATCH = 128
"""Beyond this the commit's fsync is amortised and a batch only gets slower."""


def build_keeper(store: TaskStore, rings: FirstRings, *, max_waiting: int) -> Keeper:
    """Return the batcher that keeps tasks.

    The ring belongs to the batch, not to a request: it is offered even when every
    client has hung up meanwhile.
    """

    async def keep(tasks: Sequence[NewTask]) -> list[TaskId]:
        task_ids = await store.insert(tasks, ring_after_seconds=FIRST_RING_LOST_SECONDS)
        rings.offer(task_ids)
        return task_ids

    return Batcher("tasks to keep", keep, max_batch=MAX_BATCH, max_waiting=max_waiting)
