"""Turn doorbells into leases, many with one statement.

Before: ``consuming`` has as many task ids as messages, and a slot for each.
After: ``consuming`` acks the messages; ``journeys`` runs the claims.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from random import Random
from typing import NamedTuple

import structlog

from orchestrator_core.attempts import Claim
from orchestrator_core.errors import StoreUnavailableError
from orchestrator_core.tasks import TaskId
from orchestrator_worker.backoff import Backoff

BUDGET_SECONDS = 60.0
"""How long messages are held while Postgres is away; then the broker keeps them. Far below the
broker's limit of 30 minutes."""

ClaimBatch = Callable[[Sequence[TaskId]], Awaitable[list[Claim]]]
"""``TaskStore.claim`` for this worker and its lease."""

_log = structlog.get_logger(__name__)


class Taken(NamedTuple):
    """When a batch was claimed, in nanoseconds since the epoch; for the spans of its attempts."""

    begun_ns: int
    """Its messages were at hand."""
    claimed_ns: int


class Claimer:
    """Claims for a batch of messages at a time."""

    def __init__(
        self, claim_batch: ClaimBatch, *, count: Callable[[Sequence[Claim]], None], chance: Random
    ) -> None:
        self._claim_batch = claim_batch
        self._count = count
        self._chance = chance
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Give up waiting for Postgres: the worker is about to end."""
        self._stopping.set()

    async def claim(self, task_ids: Sequence[TaskId]) -> AsyncIterator[list[Claim]]:
        """Lease at most as many tasks as there are ids, which may repeat.

        What is won is yielded at once: a second try that breaks or is cancelled must not cost it.

        Raises:
            StoreUnavailableError: Postgres was away for the whole budget, or until ``stop``.
        """
        claims = await self._claim_patiently(task_ids)
        self._count(claims)
        yield claims
        if rest := messages_left(task_ids, claims):
            # Another worker took what these named, perhaps in exchange for a task that waits
            # now without a message. What was won must not wait for Postgres to come back.
            with contextlib.suppress(StoreUnavailableError):
                claims = await self._claim_batch(rest)
                self._count(claims)
                yield claims

    async def _claim_patiently(self, task_ids: Sequence[TaskId]) -> list[Claim]:
        backoff = Backoff(self._chance)
        clock = asyncio.get_running_loop().time
        deadline = clock() + BUDGET_SECONDS
        while True:
            try:
                return await self._claim_batch(task_ids)
            except StoreUnavailableError as error:
                if clock() >= deadline or self._stopping.is_set():
                    raise
                _log.warning("claim_postponed", count=len(task_ids), error=str(error))
            await backoff.wait()


def messages_left(task_ids: Sequence[TaskId], claims: Sequence[Claim]) -> list[TaskId]:
    """Return the ids of as many messages as brought no claim, those of tasks not won first."""
    won = {claim.task_id for claim in claims}
    by_use = sorted(task_ids, key=lambda task_id: task_id in won)
    return by_use[: len(task_ids) - len(claims)]
