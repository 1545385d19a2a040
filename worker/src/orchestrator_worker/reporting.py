"""Tell the operator that this process lives and what it does, and learn whether to pause.

Before: ``journeys`` counts ended attempts, ``slots`` says how many are busy.
After: ``WorkerStore.report`` keeps the totals; the operator takes differences. What it
answers, the cordon, goes to ``consuming``.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from orchestrator_core.errors import StoreUnavailableError
from orchestrator_core.load import WorkerReport
from orchestrator_worker.slots import Slots

EVERY_SECONDS = 1.0
"""How soon a cordon is noticed; one statement on one row of the worker's own."""

Report = Callable[[WorkerReport], Awaitable[bool]]
"""``WorkerStore.report`` for this process; returns whether it is cordoned."""

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
    """Reports every second; also the worker's view on whether Postgres is there."""

    def __init__(
        self,
        report: Report,
        totals: Totals,
        slots: Slots,
        *,
        is_resting: Callable[[], bool],
        on_cordon: Callable[[bool], None],
    ) -> None:
        """Make a reporter that has not begun.

        Args:
            report: writes the report.
            totals: what to report.
            slots: how many are busy.
            is_resting: whether nothing new is taken, because of a cordon.
            on_cordon: called when the process was cordoned or uncordoned, with what is so now.
        """
        self._report = report
        self._totals = totals
        self._slots = slots
        self._is_resting = is_resting
        self._on_cordon = on_cordon
        self._hurry = asyncio.Event()
        self.is_cordoned = False
        """Whether the last report that arrived was answered so."""
        self.is_answered = False
        """Whether the last report arrived."""

    async def run(self) -> None:
        """Report until cancelled."""
        while True:
            self._hurry.clear()
            await self.report()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(EVERY_SECONDS):
                    await self._hurry.wait()

    def slots_changed(self) -> None:
        """Report soon if somebody waits for it: a cordoned worker may go once it is idle."""
        if self.is_cordoned and self.is_answered:
            self._hurry.set()

    async def report(self) -> None:
        """Report once; a database that is away is noted, not raised."""
        report = WorkerReport(
            completions=self._totals.completions,
            busy_seconds=self._totals.busy_seconds,
            slots=self._slots.total,
            busy_slots=self._slots.busy,
            is_resting=self._is_resting(),
        )
        try:
            is_cordoned = await self._report(report)
        except StoreUnavailableError as error:
            if self.is_answered:
                _log.warning("postgres_away", error=str(error))
            self.is_answered = False
            return
        if not self.is_answered:
            _log.info("postgres_answers")
        self.is_answered = True
        if is_cordoned != self.is_cordoned:
            self.is_cordoned = is_cordoned
            self._on_cordon(is_cordoned)
