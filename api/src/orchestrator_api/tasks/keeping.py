"""Keep submissions: rows of many requests in one transaction, then ring for them.

Before: requests submit what they want to be kept, and wait.
After: each has its verdict on committed rows; rings are offered without waiting.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from orchestrator_core.batching import Batcher
from orchestrator_core.submissions import Kept, Submission, Verdict
from orchestrator_core.tasks import TaskId

MAX_BATCH = 128
"""Beyond this the commit's fsync is amortised and a batch only gets slower."""
_MAX_WAITING_BULKS = 32
"""1,000 tasks take some 50 ms: who waits behind more than these passes the deadline."""

Keeper: TypeAlias = Batcher[Submission, Verdict]


@dataclass(frozen=True, slots=True)
class Keepers:
    """Two queues, so that nobody's one task waits behind somebody's thousands."""

    singles: Keeper
    """Of one task each, many in a transaction."""
    bulks: Keeper
    """Of many tasks each, one at a time in a transaction of its own."""


class Store(Protocol):
    """What is needed of ``postgres.submission_store``."""

    async def keep(
        self, submissions: Sequence[Submission], *, ring_after_seconds: float
    ) -> list[Verdict]:
        """Keep all that can be kept, in one transaction."""


class Counting(Protocol):
    """What is needed of ``metrics.TaskMetrics``."""

    def count_submitted(self, task_types: Sequence[str]) -> None:
        """Count the tasks of one statement."""


class Rings(Protocol):
    """What is needed of ``dispatching.FirstRings``."""

    def offer(self, task_ids: Iterable[TaskId], *, trace_context: str) -> None:
        """Ring soon, without waiting."""


def build_keepers(
    store: Store,
    rings: Rings,
    counting: Counting,
    *,
    max_waiting: int,
    ring_after_seconds: float,
) -> Keepers:
    """Return the batchers that keep tasks.

    The ring belongs to the flush, not to a request: it is offered even when every
    client has hung up meanwhile.
    """

    async def keep(submissions: Sequence[Submission]) -> list[Verdict]:
        verdicts = await store.keep(submissions, ring_after_seconds=ring_after_seconds)
        kept: list[str] = []
        for submission, verdict in zip(submissions, verdicts, strict=True):
            if isinstance(verdict, Kept):
                # All tasks of a submission came with one request, and there is one at least.
                rings.offer(verdict.due_ids, trace_context=submission.tasks[0].trace_context)
                kept += [task.task_type for task in submission.tasks]
        counting.count_submitted(kept)
        return verdicts

    return Keepers(
        singles=Batcher("tasks to keep", keep, max_batch=MAX_BATCH, max_waiting=max_waiting),
        bulks=Batcher("bulks to keep", keep, max_batch=1, max_waiting=_MAX_WAITING_BULKS),
    )
