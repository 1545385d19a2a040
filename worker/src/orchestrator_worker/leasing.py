"""Keep the leases of running attempts alive, and tell those that lost theirs.

All leases are extended with one statement every third of their length, so two
may fail before one runs out. While Postgres is away nobody else can claim
either, so attempts go on and the fence decides when they settle. Leases that
ran out meanwhile are spared by the API for some seconds, and extended here.

This happens in a thread with an event loop and a connection of its own: a
handler that blocks the worker's loop must not cost its neighbours their leases.
Only the thread speaks to the database here, and only the worker's loop touches
what an attempt waits for.

Before: ``journeys`` holds a lease for as long as its attempt runs and settles.
After: an attempt whose lease is lost, or whose task was cancelled, ends within a
second or two; its progress stands in the database.
"""

import asyncio
import contextlib
import contextvars
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from enum import Enum, auto
from typing import Protocol

import structlog

from orchestrator_core.attempts import Claim, ProgressReport, Tending
from orchestrator_core.errors import RowRefusedError, StoreUnavailableError
from orchestrator_core.tasks import TaskId

EXTENSIONS_PER_LEASE = 3
HURRY_FACTOR = 5
"""After a failure the next try comes this much sooner."""
HURRY_SECONDS = 2.0
"""Or after so long, of a long lease: the API spares leases for 10 s after an outage."""

TEND_EVERY_SECONDS = 1.0
"""How soon a cancelled attempt ends, and its owner sees how far it is."""
TEND_AFTER_SECONDS = 1.0
"""Younger attempts are left alone: most end before anybody could cancel them."""

GRACE_SECONDS = 150.0
"""On top of an attempt's time limit: ending its child and two minutes of trying to settle."""

STOP_SECONDS = 5.0
"""A statement under way has 3 s, a connection another; the thread dies with the process anyway."""

_log = structlog.get_logger(__name__)


class Interruption(Enum):
    """Why an attempt must end before its handler does."""

    LEASE_LOST = auto()
    """The task was cancelled, or another attempt has, or will have, the verdict."""
    DRAINING = auto()
    """The worker ends; the attempt is handed back."""


class Progressing(Protocol):
    """Where an attempt leaves how far it is."""

    def latest(self) -> ProgressReport | None:
        """Return what is new since the last call, if anything. Called from another thread."""


class LeaseStore(Protocol):
    """What is needed of ``TaskStore``."""

    async def extend_leases(
        self, claims: Sequence[Claim], *, lease_seconds: float
    ) -> frozenset[TaskId]:
        """Extend the leases; return the tasks whose lease is gone."""

    async def tend(self, tendings: Sequence[Tending]) -> frozenset[TaskId]:
        """Write what is new; return the tasks whose lease is gone."""


OpenStore = Callable[[], AbstractAsyncContextManager[LeaseStore]]
"""Opens a store with a connection of its own; called and used in the thread."""


class Lease:
    """The lease of one attempt while it runs."""

    def __init__(
        self,
        claim: Claim,
        progress: Progressing | None = None,
        *,
        keep_seconds: float | None = None,
    ) -> None:
        self.claim = claim
        self.interrupted: asyncio.Future[Interruption] = asyncio.get_running_loop().create_future()
        self.held_at = time.monotonic()
        if keep_seconds is None:
            keep_seconds = claim.timeout_seconds + GRACE_SECONDS
        self.keep_until = self.held_at + keep_seconds
        self.is_left_to_run_out = False
        """Only the thread's."""
        self._progress = progress
        self._unwritten: ProgressReport | None = None

    @property
    def is_lost(self) -> bool:
        """Whether the database has told us so."""
        done = self.interrupted.done() and not self.interrupted.cancelled()
        return done and self.interrupted.result() is Interruption.LEASE_LOST

    def interrupt(self, reason: Interruption) -> None:
        """End the attempt; the first reason counts."""
        if not self.interrupted.done():
            self.interrupted.set_result(reason)

    def tending(self) -> Tending:
        """Return what is to be written of this lease: what is new, or failed to be written."""
        if self._progress is not None:
            self._unwritten = self._progress.latest() or self._unwritten
        return Tending(claim=self.claim, progress=self._unwritten)

    def written(self) -> None:
        """Forget what ``tending`` returned: it stands in the database, or never will."""
        self._unwritten = None


class Leases:
    """Every lease that this process holds. The worker's loop changes it, the thread reads it."""

    def __init__(self) -> None:
        self._held: dict[TaskId, Lease] = {}

    @contextlib.contextmanager
    def held(
        self,
        claim: Claim,
        progress: Progressing | None = None,
        *,
        keep_seconds: float | None = None,
    ) -> Iterator[Lease]:
        """Keep the lease of ``claim`` while the context is open.

        An attempt of the same task that still runs here has lost its lease, and ends.

        Args:
            claim: whose lease it is.
            progress: where its attempt says how far it is.
            keep_seconds: after which the lease is left to run out, so that an attempt that
                never ends does not hold its task for ever. Default: the claim's time limit
                and a grace for what follows it.
        """
        lease = Lease(claim, progress, keep_seconds=keep_seconds)
        if (older := self._held.get(claim.task_id)) is not None:
            # From here on the thread sees it no more, so nobody else would tell it.
            older.interrupt(Interruption.LEASE_LOST)
        self._held[claim.task_id] = lease
        try:
            yield lease
        finally:
            # A later claim of the same task may stand here by now.
            if self._held.get(claim.task_id) is lease:
                del self._held[claim.task_id]

    def all(self) -> list[Lease]:
        """Return the leases of this moment."""
        return list(self._held.values())

    def interrupt_all(self, reason: Interruption) -> None:
        """End every attempt."""
        for lease in self.all():
            lease.interrupt(reason)

    def lose(self, leases: Sequence[Lease]) -> None:
        """End these attempts, as far as they are still held: settled ones did not lose."""
        for lease in leases:
            if self._held.get(lease.claim.task_id) is lease:
                lease.interrupt(Interruption.LEASE_LOST)


class LeaseKeeper:
    """Extends and tends all leases, in a thread of its own.

    A fault in the thread leaves ``is_dead``, on which the watchdog ends the process.
    """

    def __init__(
        self,
        leases: Leases,
        open_store: OpenStore,
        *,
        lease_seconds: float,
        on_progress: Callable[[], None],
    ) -> None:
        """Make a keeper that has not begun.

        Args:
            leases: what to keep.
            open_store: how the thread comes to its connection.
            lease_seconds: how long an extension lasts.
            on_progress: called on the worker's loop when progress was written.
        """
        self._leases = leases
        self._open_store = open_store
        self._lease_seconds = lease_seconds
        self._on_progress = on_progress
        self._thread: threading.Thread | None = None
        self._is_stopping = False

    @property
    def is_dead(self) -> bool:
        """Whether the thread ended though nobody asked it to."""
        thread = self._thread
        return thread is not None and not self._is_stopping and not thread.is_alive()

    async def run(self) -> None:
        """Keep until cancelled."""
        main = asyncio.get_running_loop()
        rounds = _Rounds(self._leases, self._lease_seconds, main, self._on_progress)
        # With the log context of this process, which a new thread would not have.
        work = contextvars.copy_context().run
        stop = _Stop()
        self._thread = threading.Thread(
            target=work, args=(self._work, rounds, stop), name="leases", daemon=True
        )
        self._thread.start()
        try:
            await asyncio.Event().wait()
        finally:
            self._is_stopping = True
            stop.ask()
            await asyncio.to_thread(self._thread.join, STOP_SECONDS)

    def _work(self, rounds: "_Rounds", stop: "_Stop") -> None:
        async def keep() -> None:
            async with self._open_store() as store:
                await rounds.run(store, stop)

        try:
            asyncio.run(keep())
        except Exception:  # noqa: BLE001 - the edge of a thread; the watchdog ends the process
            _log.critical("lease_keeper_died", exc_info=True)


class _Stop:
    """Asks the thread to end, from any thread, before or after it has a loop."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_asked = False
        self._waiting: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None

    def ask(self) -> None:
        with self._lock:
            self._is_asked = True
            if self._waiting is not None:
                loop, event = self._waiting
                # A loop that is closed has ended by itself.
                with contextlib.suppress(RuntimeError):
                    loop.call_soon_threadsafe(event.set)

    def listen(self) -> asyncio.Event:
        """Return what is set once the thread is to end; for the loop that calls it."""
        event = asyncio.Event()
        with self._lock:
            self._waiting = (asyncio.get_running_loop(), event)
            if self._is_asked:
                event.set()
        return event


class _Rounds:
    """What the thread does, over and over."""

    def __init__(
        self,
        leases: Leases,
        lease_seconds: float,
        main: asyncio.AbstractEventLoop,
        on_progress: Callable[[], None],
    ) -> None:
        self._leases = leases
        self._lease_seconds = lease_seconds
        self._main = main
        self._on_progress = on_progress

    async def run(self, store: LeaseStore, stop: _Stop) -> None:
        every_seconds = self._lease_seconds / EXTENSIONS_PER_LEASE
        now = time.monotonic()
        extend_at, tend_at = now + every_seconds, now + TEND_EVERY_SECONDS
        is_answered = True
        stopped = stop.listen()
        while not await _is_set_within(stopped, min(extend_at, tend_at) - time.monotonic()):
            if time.monotonic() >= extend_at:
                is_answered = await self._extend(store)
                wait_seconds = wait_seconds_for(self._lease_seconds, is_answered=is_answered)
                extend_at = time.monotonic() + wait_seconds
            if time.monotonic() >= tend_at:
                # While Postgres is away the next extension must not wait behind this.
                if is_answered:
                    await self._tend(store)
                tend_at = time.monotonic() + TEND_EVERY_SECONDS

    async def _extend(self, store: LeaseStore) -> bool:
        leases = [lease for lease in self._leases.all() if _is_worth_keeping(lease)]
        if not leases:
            return True
        try:
            lost = await store.extend_leases(
                [lease.claim for lease in leases], lease_seconds=self._lease_seconds
            )
        except StoreUnavailableError as error:
            _log.warning("leases_not_extended", count=len(leases), error=str(error))
            return False
        self._lose(leases, lost)
        return True

    async def _tend(self, store: LeaseStore) -> None:
        oldest = time.monotonic() - TEND_AFTER_SECONDS
        leases = [lease for lease in self._leases.all() if lease.held_at <= oldest]
        if not leases:
            return
        tendings = [lease.tending() for lease in leases]
        try:
            lost = await store.tend(tendings)
        except StoreUnavailableError as error:
            _log.warning("leases_not_tended", count=len(leases), error=str(error))
            return
        except RowRefusedError as error:
            # It would be refused again, and with it the news of lost leases.
            _log.error("progress_refused", error=str(error))
            lost = frozenset()
        for lease in leases:
            lease.written()
        if any(each.progress for each in tendings):
            self._main.call_soon_threadsafe(self._on_progress)
        self._lose(leases, lost)

    def _lose(self, leases: Sequence[Lease], lost: frozenset[TaskId]) -> None:
        losers = [lease for lease in leases if lease.claim.task_id in lost]
        if losers:
            self._main.call_soon_threadsafe(self._leases.lose, losers)


def wait_seconds_for(lease_seconds: float, *, is_answered: bool) -> float:
    """Return how long to wait for the next extension, after an answer or none."""
    every_seconds = lease_seconds / EXTENSIONS_PER_LEASE
    return every_seconds if is_answered else min(every_seconds / HURRY_FACTOR, HURRY_SECONDS)


def _is_worth_keeping(lease: Lease) -> bool:
    if time.monotonic() < lease.keep_until:
        return True
    if not lease.is_left_to_run_out:
        lease.is_left_to_run_out = True
        _log.error(
            "lease_left_to_run_out",
            task_id=lease.claim.task_id,
            seconds=round(time.monotonic() - lease.held_at),
        )
    return False


async def _is_set_within(event: asyncio.Event, seconds: float) -> bool:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(max(seconds, 0)):
            await event.wait()
    return event.is_set()
