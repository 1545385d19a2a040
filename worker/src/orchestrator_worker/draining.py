"""End the worker without losing or spending an attempt.

Before: SIGTERM arrived and ``consuming`` has stopped.
After: every attempt is settled or handed back, and the process exits 0.
"""

import asyncio
import signal

import structlog

from orchestrator_worker.journeys import Journeys
from orchestrator_worker.leasing import Interruption, Leases
from orchestrator_worker.waiting import wait_first

HAND_BACK_SECONDS = 10.0
"""For killing children and one more statement; what takes longer is left to its lease."""

_log = structlog.get_logger(__name__)


class StopSignals:
    """Counts SIGTERM and SIGINT: the first asks to drain, the second to hurry."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.hurried = asyncio.Event()

    def listen(self) -> None:
        """Take both signals over from the interpreter."""
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self.note)

    def note(self) -> None:
        """One more signal came."""
        (self.hurried if self.asked.is_set() else self.asked).set()


async def drain(
    journeys: Journeys, leases: Leases, *, drain_seconds: float, hurried: asyncio.Event
) -> None:
    """Let attempts finish for ``drain_seconds``, or until ``hurried``; hand back the rest."""
    _log.info("draining", attempts=journeys.count, drain_seconds=drain_seconds)
    await wait_first(journeys.wait(), hurried.wait(), timeout_seconds=drain_seconds)
    if journeys.count:
        _log.info("handing_back", attempts=journeys.count)
        leases.interrupt_all(Interruption.DRAINING)
        await wait_first(journeys.wait(), timeout_seconds=HAND_BACK_SECONDS)
    if journeys.count:
        _log.warning("attempts_abandoned", attempts=journeys.count)
        await journeys.abandon()
    _log.info("drained")
