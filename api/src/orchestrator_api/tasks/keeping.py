"""Keep submissions: rows of many requests in one transaction, then ring for them.

Before: requests submit what they want to be kept, and wait.
After: each has its verdict on committed rows; rings are offered without waiting.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from orchestrator_api.dispatching import FIRST_RING_LOST_SECONDS, FirstRings
from orchestrator_core.batching import Batcher
from orchestrator_core.postgres.submission_store import SubmissionStore
from orchestrator_core.submissions import Kept, Submission, Verdict

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


def build_keepers(store: SubmissionStore, rings: FirstRings, *, max_waiting: int) -> Keepers:
    """Return the batchers that keep tasks.

    The ring belongs to the flush, not to a request: it is offered even when every
    client has hung up meanwhile.
    """

    async def keep(submissions: Sequence[Submission]) -> list[Verdict]:
        verdicts = await store.keep(submissions, ring_after_seconds=FIRST_RING_LOST_SECONDS)
        for verdict in verdicts:
            if isinstance(verdict, Kept):
                rings.offer(verdict.due_ids)
        return verdicts

    return Keepers(
        singles=Batcher("tasks to keep", keep, max_batch=MAX_BATCH, max_waiting=max_waiting),
        bulks=Batcher("bulks to keep", keep, max_batch=1, max_waiting=_MAX_WAITING_BULKS),
    )
