"""Leases live as long as their attempts, and a lost one ends its attempt."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager

import pytest

from orchestrator_core.attempts import Claim, ProgressReport, Tending
from orchestrator_core.errors import StoreUnavailableError
from orchestrator_core.tasks import TaskId
from orchestrator_core.testing import a_claim
from orchestrator_worker import leasing
from orchestrator_worker.leasing import Interruption, LeaseKeeper, Leases, wait_seconds_for

SHORT_SECONDS = 0.03
LONG_SECONDS = 3600.0
NONE: frozenset[TaskId] = frozenset()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leasing, "TEND_EVERY_SECONDS", SHORT_SECONDS)
    monkeypatch.setattr(leasing, "TEND_AFTER_SECONDS", 0.0)


class AStore:
    """Answers in the keeper's thread; tells the test's loop of each call."""

    def __init__(self) -> None:
        self.main = asyncio.get_running_loop()
        self.extended: asyncio.Queue[list[TaskId]] = asyncio.Queue()
        self.tended: asyncio.Queue[list[ProgressReport | None]] = asyncio.Queue()
        self.threads: set[int] = set()
        self.extend: Callable[[], frozenset[TaskId]] = lambda: NONE
        self.see: Callable[[], frozenset[TaskId]] = lambda: NONE

    async def extend_leases(
        self, claims: Sequence[Claim], *, lease_seconds: float
    ) -> frozenset[TaskId]:
        assert lease_seconds in (SHORT_SECONDS, LONG_SECONDS)
        self.threads.add(threading.get_ident())
        lost = self.extend()
        ids = [claim.task_id for claim in claims]
        self.main.call_soon_threadsafe(self.extended.put_nowait, ids)
        return lost

    async def tend(self, tendings: Sequence[Tending]) -> frozenset[TaskId]:
        lost = self.see()
        reports = [each.progress for each in tendings]
        self.main.call_soon_threadsafe(self.tended.put_nowait, reports)
        return lost


class AProgress:
    """Has each of its reports once."""

    def __init__(self, *reports: ProgressReport) -> None:
        self.reports = list(reports)

    def latest(self) -> ProgressReport | None:
        return self.reports.pop(0) if self.reports else None


class Running:
    """Leases that are being kept while the context is open."""

    def __init__(self, store: AStore, *, lease_seconds: float = SHORT_SECONDS) -> None:
        self.leases = Leases()
        self.announced = asyncio.Event()

        @asynccontextmanager
        async def open_store() -> AsyncIterator[AStore]:
            yield store

        self.keeper = LeaseKeeper(
            self.leases, open_store, lease_seconds=lease_seconds, on_progress=self.announced.set
        )

    async def __aenter__(self) -> Leases:
        self.task = asyncio.create_task(self.keeper.run())
        return self.leases

    async def __aexit__(self, *_: object) -> None:
        self.task.cancel()
        await asyncio.wait({self.task})


async def test_all_leases_are_extended_with_one_statement_in_another_thread() -> None:
    store = AStore()

    async with Running(store) as leases:
        with leases.held(a_claim(1)), leases.held(a_claim(2)):
            both = await store.extended.get()

    assert both == [1, 2]
    assert threading.get_ident() not in store.threads


async def test_leases_are_extended_while_the_workers_loop_is_blocked() -> None:
    store = AStore()

    async with Running(store) as leases:
        with leases.held(a_claim()):
            await store.extended.get()
            time.sleep(10 * SHORT_SECONDS)  # noqa: ASYNC251 - what the test is about
            await asyncio.sleep(0)
            extensions = store.extended.qsize()

    assert extensions > 3


async def test_a_lost_lease_interrupts_its_attempt_and_no_other() -> None:
    store = AStore()
    store.extend = lambda: frozenset({TaskId(1)})

    async with Running(store) as leases:
        with leases.held(a_claim(1)) as first, leases.held(a_claim(2)) as second:
            reason = await first.interrupted

    assert reason is Interruption.LEASE_LOST
    assert first.is_lost
    assert not second.is_lost


async def test_a_cancelled_attempt_ends_long_before_its_lease_is_extended() -> None:
    store = AStore()
    store.see = lambda: frozenset({TaskId(17)})

    async with Running(store, lease_seconds=LONG_SECONDS) as leases:
        with leases.held(a_claim()) as lease:
            await lease.interrupted

    assert lease.is_lost
    assert store.extended.empty()


async def test_an_attempt_that_has_just_begun_is_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(leasing, "TEND_AFTER_SECONDS", LONG_SECONDS)
    store = AStore()

    async with Running(store) as leases:
        with leases.held(a_claim()):
            for _ in range(5):
                await store.extended.get()

    assert store.tended.empty()


async def test_progress_is_written_once_and_announced() -> None:
    store, half = AStore(), ProgressReport(0.5, "half")
    running = Running(store)

    async with running as leases:
        with leases.held(a_claim(), AProgress(half)):
            first, second = await store.tended.get(), await store.tended.get()
            await running.announced.wait()

    assert (first, second) == ([half], [None])


async def test_without_progress_nothing_is_announced() -> None:
    store = AStore()
    running = Running(store)

    async with running as leases:
        with leases.held(a_claim(), AProgress()):
            await store.tended.get()
            await store.tended.get()

    assert not running.announced.is_set()


async def test_progress_that_could_not_be_written_is_written_later() -> None:
    store, half = AStore(), ProgressReport(0.5)
    answers = iter([False])

    def see() -> frozenset[TaskId]:
        if not next(answers, True):
            raise StoreUnavailableError("postgres", "tend")
        return NONE

    store.see = see

    async with Running(store) as leases:
        with leases.held(a_claim(), AProgress(half)):
            reports = await store.tended.get()

    assert reports == [half]


async def test_a_database_that_is_away_is_asked_again_soon() -> None:
    store = AStore()
    answers = iter([False])

    def extend() -> frozenset[TaskId]:
        if not next(answers, True):
            raise StoreUnavailableError("postgres", "extend")
        return NONE

    store.extend = extend

    async with Running(store) as leases:
        with leases.held(a_claim()) as lease:
            await store.extended.get()

    assert not lease.is_lost


async def test_an_attempt_that_hangs_does_not_hold_its_lease_for_ever() -> None:
    store = AStore()

    async with Running(store) as leases:
        with leases.held(a_claim(1), keep_seconds=0), leases.held(a_claim(2)):
            extended = await store.extended.get()
            tended = await store.tended.get()

    assert extended == [2]
    assert len(tended) == 2


async def test_an_attempt_that_settled_meanwhile_is_not_told_that_it_lost() -> None:
    leases = Leases()

    with leases.held(a_claim()) as settled:
        pass
    with leases.held(a_claim(epoch=2)) as successor:
        leases.lose([settled])

    assert not settled.is_lost
    assert not successor.is_lost


async def test_a_task_that_is_claimed_again_ends_its_older_attempt_here() -> None:
    leases = Leases()

    with ExitStack() as newer:
        with leases.held(a_claim(epoch=1)) as first:
            second = newer.enter_context(leases.held(a_claim(epoch=2)))
        held = leases.all()

    assert first.is_lost
    assert not second.is_lost
    assert held == [second]


async def test_draining_interrupts_every_attempt_for_another_reason() -> None:
    leases = Leases()

    with leases.held(a_claim()) as lease:
        leases.interrupt_all(Interruption.DRAINING)

    assert lease.interrupted.result() is Interruption.DRAINING
    assert not lease.is_lost


async def test_a_fault_in_the_thread_is_seen_and_a_stop_is_none() -> None:
    store = AStore()

    def break_down() -> frozenset[TaskId]:
        raise RuntimeError("a fault of our own")

    running = Running(store)
    async with running as leases:
        with leases.held(a_claim()):
            await store.extended.get()
            is_alive_at_first = not running.keeper.is_dead
            store.extend = break_down
            [thread] = [each for each in threading.enumerate() if each.name == "leases"]
            await asyncio.to_thread(thread.join)
            is_seen = running.keeper.is_dead

    assert is_alive_at_first
    assert is_seen
    assert not running.keeper.is_dead


async def test_a_keeper_that_is_stopped_before_it_began_is_not_dead() -> None:
    running = Running(AStore())

    async with running:
        pass

    assert not running.keeper.is_dead


async def test_a_stopped_keeper_leaves_no_thread() -> None:
    async with Running(AStore()):
        await asyncio.sleep(0)
        names = {thread.name for thread in threading.enumerate()}

    assert "leases" in names
    assert "leases" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.parametrize(
    ("lease_seconds", "after_an_answer", "after_none"), [(3, 1, 0.2), (30, 10, 2), (3600, 1200, 2)]
)
def test_after_a_failure_a_lease_of_any_length_is_tried_again_within_two_seconds(
    lease_seconds: float, after_an_answer: float, after_none: float
) -> None:
    waits = [wait_seconds_for(lease_seconds, is_answered=each) for each in (True, False)]

    assert waits == [after_an_answer, after_none]
