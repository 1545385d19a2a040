"""Revocations: which logins have ended before their access tokens have.

Access tokens are verified without asking a store. What would otherwise let the token of
an ended login live on for minutes is a set in each process: of logins that were revoked
during the last lifetime of an access token. It has three sources. What this process
revokes it knows at once; what others revoke they announce (``note``); and what gets lost
on the way is read from Postgres every second. While Postgres is away nobody can revoke
anything, so the set stays good; afterwards the reading goes on from where it stopped.

Before: ``service`` ends logins here, other processes elsewhere.
After: ``identity`` refuses their access tokens.
"""

import asyncio
import time
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Protocol
from uuid import UUID

import structlog

from orchestrator_api.rounds import Rounds
from orchestrator_core.accounts import SessionId
from orchestrator_core.errors import StoreUnavailableError
from orchestrator_core.postgres.account_store import RevocationReading

CHANNEL = "orchestrator_revocations"
"""Of Postgres: each revocation notifies it in its own transaction."""
READ_SECONDS = 1.0
"""With a statement of milliseconds, an ended login is refused everywhere well within 2 s."""
FIRST_READING_SECONDS = 1.0
"""Takes milliseconds; a request that comes at the very start waits rather than fails."""
_OVERLAP_SECONDS = 30.0
"""A transaction that revokes commits or is killed within 15 s (``postgres.database``)."""
_MARGIN_SECONDS = 60.0
"""Clocks of replicas and of Postgres may differ by this much."""

_log = structlog.get_logger(__name__)


class RevocationSource(Protocol):
    """Where what others revoked is read."""

    async def read_revocations(
        self, since: datetime | None, *, overlap_seconds: float
    ) -> RevocationReading:
        """Return what was revoked, or raise ``StoreUnavailableError``."""


class Revocations:
    """The logins that have ended, as this process knows them."""

    def __init__(
        self,
        source: RevocationSource,
        *,
        lifetime_seconds: float,
        clock: Callable[[], float] = time.monotonic,
        read_seconds: float = READ_SECONDS,
        first_reading_seconds: float = FIRST_READING_SECONDS,
    ) -> None:
        """Know nothing yet.

        Args:
            source: of what others revoke.
            lifetime_seconds: of an access token, at most; afterwards a login may be forgotten.
            clock: seconds, only ever forward.
            read_seconds: between two readings.
            first_reading_seconds: how long a request waits for the first one.
        """
        self._source = source
        self._kept_seconds = lifetime_seconds + _MARGIN_SECONDS
        self._clock = clock
        self._read_seconds = read_seconds
        self._first_reading_seconds = first_reading_seconds
        # When to forget each, in that order: the first seen are the first forgotten.
        self._revoked: dict[SessionId, float] = {}
        self._read_at: datetime | None = None
        self._has_read = asyncio.Event()
        self._must_read = asyncio.Event()
        self._rounds = Rounds(_log, absent="revocations not read", failed="revocations not read")

    def is_revoked(self, session_id: SessionId) -> bool:
        """Whether this login has ended."""
        return session_id in self._revoked

    def add(self, session_ids: Iterable[SessionId]) -> None:
        """Refuse these logins from now on."""
        forget_at = self._clock() + self._kept_seconds
        for each in session_ids:
            self._revoked.setdefault(each, forget_at)

    def note(self, payload: str) -> None:
        """Take an announcement of another process.

        Args:
            payload: the id of a login; anything else means: read what there is.
        """
        try:
            self.add([SessionId(UUID(payload))])
        except ValueError:
            self._must_read.set()

    async def await_first_reading(self) -> None:
        """Return when the set can be relied on; after the start, at once.

        Raises:
            StoreUnavailableError: Postgres has not answered since this process started.
        """
        if self._has_read.is_set():
            return
        try:
            async with asyncio.timeout(self._first_reading_seconds):
                await self._has_read.wait()
        except TimeoutError:
            raise StoreUnavailableError("postgres", "read which logins have ended") from None

    async def run(self) -> None:
        """Read every second, and when asked to, until cancelled."""
        while True:
            self._must_read.clear()
            await self._rounds.go(self.read)
            await self._pause()

    async def read(self) -> None:
        """Read what was revoked since the last reading.

        Raises:
            StoreUnavailableError: Postgres is away; the next reading looks as far back.
        """
        overlap_seconds = self._kept_seconds if self._read_at is None else _OVERLAP_SECONDS
        reading = await self._source.read_revocations(
            self._read_at, overlap_seconds=overlap_seconds
        )
        self.add(reading.session_ids)
        self._read_at = reading.read_at
        self._has_read.set()
        self._forget()

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(self._read_seconds):
                await self._must_read.wait()
        except TimeoutError:
            return

    def _forget(self) -> None:
        now = self._clock()
        while self._revoked:
            oldest = next(iter(self._revoked))
            if self._revoked[oldest] > now:
                return
            del self._revoked[oldest]
