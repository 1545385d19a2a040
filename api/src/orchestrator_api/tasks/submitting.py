"""Submit tasks: one, many at once, or a failed one again.

Before: ``endpoints`` has a validated wish, its owner and perhaps his name for it.
After: committed rows, whose ids the client gets; ``keeping`` has rung for them.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from orchestrator_api.dispatching import FirstRings
from orchestrator_api.errors import (
    ConflictError,
    FieldFault,
    InvalidRequestError,
    to_type_fault,
)
from orchestrator_api.problems import MAX_FAULTS
from orchestrator_api.tasks.catalogue import Catalogue
from orchestrator_api.tasks.idempotency import Origin, refuse_clash, to_key
from orchestrator_api.tasks.keeping import Keeper, Keepers
from orchestrator_api.tasks.schemas import SubmitTask, SubmitTasks
from orchestrator_api.tasks.understanding import understand
from orchestrator_core.errors import UnknownTaskTypeError
from orchestrator_core.postgres.submission_store import SubmissionStore
from orchestrator_core.spans import child_span
from orchestrator_core.submissions import (
    Kept,
    KeyClash,
    KeyInFlight,
    Replayed,
    Submission,
)
from orchestrator_core.tasks import NewTask, Task, TaskId

_UNDERSTOOD_AT_ONCE = 50
"""Checking so many payloads takes some 5 ms; then others have their turn."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """Tasks that exist."""

    task_ids: Sequence[TaskId]
    """In the order in which they were asked for."""
    is_replayed: bool = False
    """Whether an earlier request with the same key had this answer."""


class Submitting:
    """The use cases that make tasks."""

    def __init__(
        self,
        store: SubmissionStore,
        catalogue: Catalogue,
        keepers: Keepers,
        rings: FirstRings,
        *,
        ring_after_seconds: float,
    ) -> None:
        self._store = store
        self._catalogue = catalogue
        self._keepers = keepers
        self._rings = rings
        self._ring_after_seconds = ring_after_seconds

    async def submit(self, wish: SubmitTask, origin: Origin) -> Accepted:
        """Keep a task; when this returns, its row is committed.

        Raises:
            UnknownTaskTypeError: no worker runs this type.
            InvalidRequestError: names each field that does not fit the type, or the key.
            ConflictError: another request with this key is under way.
            OverloadedError: too many tasks wait for their commit; nothing was kept.
            StoreUnavailableError: nothing is known to be kept.
        """
        task = await self._understand(wish, origin)
        return await _keep(self._keepers.singles, Submission((task,), to_key(origin, wish)))

    async def submit_many(self, wish: SubmitTasks, origin: Origin) -> Accepted:
        """Keep all tasks or none.

        Raises:
            InvalidRequestError: names each field of each wish that does not fit, or the key.
            ConflictError, OverloadedError, StoreUnavailableError: as ``submit``.
        """
        tasks: list[NewTask] = []
        faults: list[FieldFault] = []
        for index, each in enumerate(wish.tasks):
            if index % _UNDERSTOOD_AT_ONCE == 0:
                await asyncio.sleep(0)
            try:
                tasks.append(await self._understand(each, origin))
            except InvalidRequestError as error:
                faults += [_of_item(index, fault) for fault in error.faults]
            except UnknownTaskTypeError as error:
                faults.append(_of_item(index, to_type_fault(error)))
            if len(faults) >= MAX_FAULTS:
                break
        if faults:
            raise InvalidRequestError(faults[:MAX_FAULTS])
        return await _keep(self._keepers.bulks, Submission(tasks, to_key(origin, wish)))

    async def retry(self, task: Task, *, trace_context: str) -> Accepted:
        """Run a failed task again as a new one; asked again, return the same one.

        Raises:
            ConflictError: it has not failed.
            StoreUnavailableError: nothing is known to be kept.
        """
        verdict = await self._store.retry(
            task.id, trace_context=trace_context, ring_after_seconds=self._ring_after_seconds
        )
        match verdict:
            case Kept(task_ids, due_ids):
                self._rings.offer(due_ids, trace_context=trace_context)
                return Accepted(task_ids)
            case Replayed(task_ids):
                return Accepted(task_ids, is_replayed=True)
        raise ConflictError(f"Task {task.id} is {task.status}: only a FAILED one can be run again")

    async def _understand(self, wish: SubmitTask, origin: Origin) -> NewTask:
        known = await self._catalogue.find(wish.task_type)
        return understand(
            wish,
            known,
            user_id=origin.user_id,
            trace_context=origin.trace_context,
            now=datetime.now(UTC),
        )


async def _keep(keeper: Keeper, submission: Submission) -> Accepted:
    # A statement keeps what many requests sent; each trace has the time that its own took.
    with child_span("insert tasks"):
        verdict = await keeper.submit(submission)
    match verdict:
        case Kept(task_ids):
            return Accepted(task_ids)
        case Replayed(task_ids):
            return Accepted(task_ids, is_replayed=True)
        case KeyClash():
            raise refuse_clash()
        case KeyInFlight():
            raise ConflictError(
                "Another request with this Idempotency-Key is under way; try again for its answer"
            )


def _of_item(index: int, fault: FieldFault) -> FieldFault:
    return FieldFault(f"tasks.{index}.{fault.field}", fault.message)
