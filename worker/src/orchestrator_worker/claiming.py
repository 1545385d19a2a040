"""Turn doorbells into leases: many at once, each for one worker only.

Before: ``journeys`` has an envelope and a free slot.
After: ``journeys`` acks the message and runs the claim, or forgets it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from random import Random

import structlog

from orchestrator_core.attempts import Claim
from orchestrator_core.batching import Batcher
from orchestrator_core.errors import StoreUnavailableError
from orchestrator_core.tasks import TaskId
from orchestrator_worker.backoff import Backoff

BUDGET_SECONDS = 60.0
"""How long a message is held while Postgres is away; then the broker keeps it. Far below the
broker's limit of 30 minutes."""

ClaimBatch = Callable[[Sequence[TaskId]], Awaitable[list[Claim]]]
"""``TaskStore.claim`` for this worker and its lease."""

_log = structlog.get_logger(__name__)


class Claimer:
    """Claims what arrives while a claim is under way with the next statement."""

    def __init__(self, claim_batch: ClaimBatch, *, slots: int, chance: Random) -> None:
        self._claim_batch = claim_batch
        self._chance = chance
        # Each waiting claim holds a slot, so there are never more of them.
        self._batcher = Batcher("claims", self._flush, max_batch=slots, max_waiting=slots)

    async def run(self) -> None:
        """Serve ``claim`` until cancelled."""
        await self._batcher.run()

    async def claim(self, task_id: TaskId) -> Claim | None:
        """Lease the task, or return None when there is nothing to do for its message.

        Raises:
            StoreUnavailableError: Postgres was away for the whole budget.
        """
        backoff = Backoff(self._chance)
        deadline = asyncio.get_running_loop().time() + BUDGET_SECONDS
        while True:
            try:
                return await self._batcher.submit(task_id)
            except StoreUnavailableError as error:
                if asyncio.get_running_loop().time() >= deadline:
                    raise
                _log.warning("claim_postponed", task_id=task_id, error=str(error))
            await backoff.wait()

    async def _flush(self, task_ids: Sequence[TaskId]) -> Sequence[Claim | None]:
        won = {claim.task_id: claim for claim in await self._claim_batch(sorted(set(task_ids)))}
        # Taken out, so that of two messages for one task only the first gets the claim.
        return [won.pop(task_id, None) for task_id in task_ids]
