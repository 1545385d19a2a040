"""Tell the autoscaler that this process lives and what it has done.

Before: ``journeys`` counts ended attempts.
After: ``WorkerStore.report`` keeps the totals; the operator takes differences.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from orchestrator_core.errors import StoreUnavailableError

EVERY_SECONDS = 2.0

Report = Callable[[int, float], Awaitable[None]]
"""``WorkerStore.report`` for this process: completions and busy seconds since its start."""

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Totals:
    """Since the start of the process; they only grow."""

    completions: int = 0
    """Attempts that ended by themselves, whatever the verdict."""
    busy_seconds: float = 0.0
    """Slot-seconds that those took, from claim to settlement."""

    def count(self, seconds: float) -> None:
        """Add one attempt."""
        self.completions += 1
        self.busy_seconds += seconds


class Reporter:
    """Reports every two seconds; also the worker's view on whether Postgres is there."""

    def __init__(self, report: Report, totals: Totals) -> None:
        self._report = report
        self._totals = totals
        self.is_answered = False
        """Whether the last report arrived."""

    async def run(self) -> None:
        """Report until cancelled."""
        while True:
            await self.report()
            await asyncio.sleep(EVERY_SECONDS)

    async def report(self) -> None:
        """Report once; a database that is away is noted, not raised."""
        try:
            await self._report(self._totals.completions, self._totals.busy_seconds)
        except StoreUnavailableError as error:
            if self.is_answered:
                _log.warning("postgres_away", error=str(error))
            self.is_answered = False
        else:
            if not self.is_answered:
                _log.info("postgres_answers")
            self.is_answered = True
