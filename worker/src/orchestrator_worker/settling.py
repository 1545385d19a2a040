"""Record outcomes, many at once, each behind its fence.

Before: ``journeys`` has an outcome.
After: the verdict is final in Postgres, or refused because the lease was lost.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from random import Random

import structlog

from orchestrator_core.attempts import Failed, Outcome, ResultFile, Settlement, Succeeded
from orchestrator_core.batching import Batcher
from orchestrator_core.errors import RowRefusedError, StoreUnavailableError
from orchestrator_core.tasks import ErrorCode
from orchestrator_worker.backoff import Backoff
from orchestrator_worker.leasing import Lease

BUDGET_SECONDS = 120.0
"""While Postgres is away the lease can't go to anybody else, and finished work is worth keeping.
A settlement that fails for longer while Postgres answers others must not keep its task for ever:
its lease is dropped and the task is leased again."""

MAX_BATCH_BYTES = 32 * 1024 * 1024
"""Of results in one statement: it has 3 s."""

SettleBatch = Callable[[Sequence[Settlement]], Awaitable[list[bool]]]
"""``TaskStore.settle``."""

_log = structlog.get_logger(__name__)


class Settler:
    """Settles what arrives while a settlement is under way with the next statement."""

    def __init__(
        self,
        settle_batch: SettleBatch,
        *,
        slots: int,
        count: Callable[[int], None],
        chance: Random,
    ) -> None:
        self._settle_batch = settle_batch
        self._count = count
        self._chance = chance
        # Each waiting settlement holds a slot, so there are never more of them.
        self._batcher = Batcher("settlements", self._flush, max_batch=slots, max_waiting=slots)

    async def run(self) -> None:
        """Serve ``settle`` until cancelled."""
        await self._batcher.run()

    async def settle(self, lease: Lease, outcome: Outcome) -> bool:
        """Record the outcome; return whether it is recorded.

        False means that another attempt has, or will have, the verdict: the lease
        was lost, or Postgres did not take the outcome within the budget.
        """
        try:
            is_recorded = await self._settle(lease, outcome)
        except RowRefusedError as error:
            _log.error("outcome_refused", error=str(error))
            unkeepable = Failed(ErrorCode.HANDLER_ERROR, "the handler's result can't be stored")
            is_recorded = await self._settle(lease, unkeepable)
        if not is_recorded:
            _log.warning("settlement_refused", outcome=type(outcome).__name__)
        return is_recorded

    async def _settle(self, lease: Lease, outcome: Outcome) -> bool:
        settlement = Settlement(claim=lease.claim, outcome=outcome)
        backoff = Backoff(self._chance, longest_seconds=1.0)
        clock = asyncio.get_running_loop().time
        deadline = clock() + BUDGET_SECONDS
        while not lease.is_lost and clock() < deadline:
            try:
                is_recorded = await self._batcher.submit(settlement)
            except StoreUnavailableError as error:
                _log.warning("settlement_postponed", error=str(error))
                await backoff.wait()
            else:
                if is_recorded is not None:
                    return is_recorded
        return False

    async def _flush(self, settlements: Sequence[Settlement]) -> Sequence[bool | None]:
        """Settle as many as one statement can carry; None for those that must come again."""
        count = fitting_count(settlements, max_bytes=MAX_BATCH_BYTES)
        recorded = await self._settle_batch(settlements[:count])
        self._count(count)
        return [*recorded, *([None] * (len(settlements) - count))]


def fitting_count(settlements: Sequence[Settlement], *, max_bytes: int) -> int:
    """Return how many settlements, from the first, have at most ``max_bytes`` of results together.

    At least 1, however large the first one is.
    """
    total_bytes = 0
    for count, each in enumerate(settlements):
        total_bytes += _size_bytes(each.outcome)
        if total_bytes > max_bytes:
            return max(count, 1)
    return len(settlements)


def _size_bytes(outcome: Outcome) -> int:
    match outcome:
        case Succeeded(ResultFile(content=content)):
            return len(content)
        case _:
            return 0
