"""Make the parts that tasks need, and connect them.

Before: ``orchestrator_api.wiring`` has opened the stores.
After: it runs the services; requests find the rest in ``request.state``.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from orchestrator_api.dispatching import FirstRings
from orchestrator_api.metrics import Metrics
from orchestrator_api.running import Drainable, Service
from orchestrator_api.tasks.catalogue import Catalogue
from orchestrator_api.tasks.keeping import Keepers, build_keepers
from orchestrator_api.tasks.remembering import RememberedTasks
from orchestrator_api.tasks.service import TaskService
from orchestrator_api.tasks.submitting import Submitting
from orchestrator_core.amqp.doorbell import Doorbell
from orchestrator_core.postgres.database import Database
from orchestrator_core.postgres.submission_store import SubmissionStore
from orchestrator_core.postgres.task_store import TaskStore
from orchestrator_core.postgres.worker_store import WorkerStore
from orchestrator_core.redis.cache import Cache


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskParts:
    """What takes tasks in and tells of them."""

    catalogue: Catalogue
    submitting: Submitting
    tasks: TaskService
    keepers: Keepers
    rings: FirstRings
    remembered: RememberedTasks

    @property
    def services(self) -> Sequence[Service]:
        """What has to run."""
        return (self.rings, self.keepers.singles, self.keepers.bulks, self.remembered.memory)

    @property
    def drain(self) -> Sequence[Drainable]:
        """What must not be lost on the way out. What is kept last rings last."""
        return (self.keepers.singles, self.keepers.bulks, self.rings)


def build_task_parts(  # noqa: PLR0913 - stores, and what settings say about them
    database: Database,
    doorbell: Doorbell,
    cache: Cache,
    counting: Metrics,
    *,
    announce: Callable[[], None],
    max_waiting: int,
    ring_after_seconds: float,
) -> TaskParts:
    """Return the parts.

    Args:
        database: where tasks are kept.
        doorbell: rung for those that are due.
        cache: for those that are final.
        counting: told of those that were accepted and rung for.
        announce: called when a task was moved.
        max_waiting: submissions that wait for a commit; see ``ApiSettings.waiting_tasks``.
        ring_after_seconds: see ``ApiSettings.ring_lost_seconds``.
    """
    store, submissions = TaskStore(database), SubmissionStore(database)
    catalogue = Catalogue(WorkerStore(database))
    rings = FirstRings(doorbell, counting.rings)
    keepers = build_keepers(
        submissions,
        rings,
        counting.tasks,
        max_waiting=max_waiting,
        ring_after_seconds=ring_after_seconds,
    )
    remembered = RememberedTasks(store, cache)
    return TaskParts(
        catalogue=catalogue,
        submitting=Submitting(
            submissions, catalogue, keepers, rings, ring_after_seconds=ring_after_seconds
        ),
        tasks=TaskService(store, remembered, announce),
        keepers=keepers,
        rings=rings,
        remembered=remembered,
    )
