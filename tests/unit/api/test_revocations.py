"""The set of ended logins: complete, prompt, and no larger than it must be."""

import asyncio
import uuid
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from structlog.testing import capture_logs

from orchestrator_api.accounts.revocations import Revocations
from orchestrator_core.accounts import SessionId
from orchestrator_core.errors import StoreUnavailableError
from orchestrator_core.postgres.account_store import RevocationReading

LIFETIME_SECONDS = 900.0
NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


class FakeSource:
    """Answers from ``revoked``, or is away."""

    def __init__(self) -> None:
        self.revoked: list[SessionId] = []
        self.asked: list[tuple[datetime | None, float]] = []
        self.is_away = False
        self.error: Exception | None = None
        self.was_asked = asyncio.Event()

    async def read_revocations(
        self, since: datetime | None, *, overlap_seconds: float
    ) -> RevocationReading:
        self.asked.append((since, overlap_seconds))
        self.was_asked.set()
        if self.is_away:
            raise StoreUnavailableError("postgres", "test")
        if self.error is not None:
            raise self.error
        return RevocationReading(NOON + timedelta(seconds=len(self.asked)), tuple(self.revoked))


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def source() -> FakeSource:
    return FakeSource()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def revocations(source: FakeSource, clock: Clock) -> Revocations:
    return Revocations(source, lifetime_seconds=LIFETIME_SECONDS, clock=clock)


def a_session() -> SessionId:
    return SessionId(uuid.uuid4())


def sessions(count: int) -> Sequence[SessionId]:
    return [a_session() for _ in range(count)]


async def test_what_this_process_revokes_is_refused_at_once(revocations: Revocations) -> None:
    mine, another = sessions(2)

    revocations.add([mine])

    assert revocations.is_revoked(mine)
    assert not revocations.is_revoked(another)


async def test_an_announced_login_is_refused_without_a_reading(
    revocations: Revocations, source: FakeSource
) -> None:
    announced = a_session()

    revocations.note(str(announced))

    assert revocations.is_revoked(announced)
    assert source.asked == []


async def test_the_first_reading_covers_every_access_token_that_may_still_be_good(
    revocations: Revocations, source: FakeSource
) -> None:
    source.revoked = [a_session()]

    await revocations.read()

    assert revocations.is_revoked(source.revoked[0])
    [(since, overlap_seconds)] = source.asked
    assert since is None
    assert overlap_seconds >= LIFETIME_SECONDS


async def test_later_readings_go_on_from_the_one_before_and_overlap_late_commits(
    revocations: Revocations, source: FakeSource
) -> None:
    await revocations.read()
    await revocations.read()

    since, overlap_seconds = source.asked[1]
    assert since == NOON + timedelta(seconds=1)
    assert 15 < overlap_seconds < LIFETIME_SECONDS


async def test_a_failed_reading_is_made_up_for_by_the_next(
    revocations: Revocations, source: FakeSource
) -> None:
    await revocations.read()
    source.is_away = True
    with pytest.raises(StoreUnavailableError):
        await revocations.read()
    source.is_away = False

    await revocations.read()

    assert source.asked[2][0] == source.asked[1][0] == NOON + timedelta(seconds=1)


async def test_a_login_is_forgotten_only_when_its_last_access_token_has_expired(
    revocations: Revocations, clock: Clock
) -> None:
    early, late = sessions(2)
    revocations.add([early])
    clock.now = 600
    revocations.add([late, early])

    clock.now = LIFETIME_SECONDS + 5
    await revocations.read()
    is_kept = revocations.is_revoked(early)
    clock.now = LIFETIME_SECONDS + 120
    await revocations.read()

    assert is_kept
    assert not revocations.is_revoked(early)
    assert revocations.is_revoked(late)


async def test_nobody_is_let_in_before_the_first_reading(
    source: FakeSource,
) -> None:
    revocations = Revocations(source, lifetime_seconds=LIFETIME_SECONDS, first_reading_seconds=0.01)
    source.is_away = True

    with pytest.raises(StoreUnavailableError, match="postgres"):
        await revocations.await_first_reading()


async def test_who_waits_for_the_first_reading_goes_on_with_it(
    revocations: Revocations,
) -> None:
    waiting = asyncio.create_task(revocations.await_first_reading())
    await asyncio.sleep(0)
    is_waiting = not waiting.done()

    await revocations.read()
    await waiting

    assert is_waiting
    await revocations.await_first_reading()


@pytest.mark.parametrize("payload", ["", "not an id", "7"])
async def test_an_announcement_that_names_no_login_makes_it_read_now(
    source: FakeSource, payload: str
) -> None:
    revocations = Revocations(source, lifetime_seconds=LIFETIME_SECONDS, read_seconds=3_600)
    running = asyncio.create_task(revocations.run())
    await revocations.await_first_reading()
    source.was_asked.clear()

    revocations.note(payload)
    await asyncio.wait_for(source.was_asked.wait(), 10)

    assert len(source.asked) == 2
    await stop(running)


@pytest.mark.parametrize("error", [StoreUnavailableError("postgres", "x"), RuntimeError("a bug")])
async def test_it_goes_on_reading_after_a_fault(source: FakeSource, error: Exception) -> None:
    revocations = Revocations(source, lifetime_seconds=LIFETIME_SECONDS, read_seconds=0.001)
    source.error = error

    with capture_logs() as lines:
        running = asyncio.create_task(revocations.run())
        while len(source.asked) < 5:
            await source.was_asked.wait()
            source.was_asked.clear()
        source.error = None
        await revocations.await_first_reading()
        await stop(running)

    is_outage = isinstance(error, StoreUnavailableError)
    assert {line["event"] for line in lines} == {"revocations not read"}
    assert (len(lines) == 1) == is_outage


async def stop(running: "asyncio.Task[None]") -> None:
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
