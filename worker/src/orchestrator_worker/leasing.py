"""Keep the leases of running attempts alive, and tell those that lost theirs.

All leases are extended with one statement every third of their length, so two
may fail before one runs out. While Postgres is away nobody else can claim
either, so attempts go on and the fence decides when they settle.

Before: ``journeys`` holds a lease for as long as its attempt runs and settles.
After: an attempt whose lease is lost ends at once.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from enum import Enum, auto

import structlog

from orchestrator_core.attempts import Claim
from orchestrator_core.errors import StoreUnavailableError
from orchestrator_core.tasks import TaskId

EXTENSIONS_PER_LEASE = 3
HURRY_FACTOR = 5
"""After a failure the next try comes this much sooner."""

ExtendBatch = Callable[[Sequence[Claim]], Awaitable[frozenset[TaskId]]]
"""``TaskStore.extend_leases`` for this worker's lease: returns the tasks that are lost."""

_log = structlog.get_logger(__name__)


class Interruption(Enum):
    """Why an attempt must end before its handler does."""

    LEASE_LOST = auto()
    """Another attempt has, or will have, the verdict."""
    DRAINING = auto()
    """The worker ends; the attempt is handed back."""


class Lease:
    """The lease of one attempt while it runs."""

    def __init__(self, claim: Claim) -> None:
        self.claim = claim
        self.interrupted: asyncio.Future[Interruption] = asyncio.get_running_loop().create_future()

    @property
    def is_lost(self) -> bool:
        """Whether the database has told us so."""
        done = self.interrupted.done() and not self.interrupted.cancelled()
        return done and self.interrupted.result() is Interruption.LEASE_LOST

    def interrupt(self, reason: Interruption) -> None:
        """End the attempt; the first reason counts."""
        if not self.interrupted.done():
            self.interrupted.set_result(reason)


class Leases:
    """Every lease this process holds."""

    def __init__(self, extend_batch: ExtendBatch, *, lease_seconds: float) -> None:
        self._extend_batch = extend_batch
        self._every_seconds = lease_seconds / EXTENSIONS_PER_LEASE
        self._held: dict[TaskId, Lease] = {}

    @contextlib.contextmanager
    def held(self, claim: Claim) -> Iterator[Lease]:
        """Extend the lease of ``claim`` while the context is open."""
        lease = Lease(claim)
        self._held[claim.task_id] = lease
        try:
            yield lease
        finally:
            # A later claim of the same task may stand here by now.
            if self._held.get(claim.task_id) is lease:
                del self._held[claim.task_id]

    def interrupt_all(self, reason: Interruption) -> None:
        """End every attempt."""
        for lease in self._held.values():
            lease.interrupt(reason)

    async def run(self) -> None:
        """Extend until cancelled."""
        wait_seconds = self._every_seconds
        while True:
            await asyncio.sleep(wait_seconds)
            is_answered = await self._extend()
            wait_seconds = self._every_seconds / (1 if is_answered else HURRY_FACTOR)

    async def _extend(self) -> bool:
        leases = list(self._held.values())
        if not leases:
            return True
        try:
            lost = await self._extend_batch([lease.claim for lease in leases])
        except StoreUnavailableError as error:
            _log.warning("leases_not_extended", count=len(leases), error=str(error))
            return False
        for lease in leases:
            # One that was settled meanwhile is not held any more, and not lost.
            if lease.claim.task_id in lost and self._held.get(lease.claim.task_id) is lease:
                lease.interrupt(Interruption.LEASE_LOST)
        return True
