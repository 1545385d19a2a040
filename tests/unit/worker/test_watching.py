"""A process that stands still ends; one that was merely frozen or busy does not."""

import asyncio
import threading
import time

import pytest

from orchestrator_worker import watching
from orchestrator_worker.watching import (
    CONSUMER_GRACE_SECONDS,
    Look,
    Silences,
    Watchdog,
    reason_to_end,
    stacks_of_all_threads,
)


def a_look(
    *,
    seconds: float = 1.0,
    has_ticked: bool = True,
    is_consumer_silent: bool = False,
    is_keeper_dead: bool = False,
) -> Look:
    return Look(
        seconds=seconds,
        has_ticked=has_ticked,
        is_consumer_silent=is_consumer_silent,
        is_keeper_dead=is_keeper_dead,
    )


def after(*looks: Look, stall_seconds: float = 60) -> str | None:
    silences = Silences()
    for look in looks:
        silences = silences.after(look)
    return reason_to_end(silences, stall_seconds=stall_seconds)


def test_a_healthy_process_goes_on() -> None:
    assert after(*[a_look()] * 1000) is None


def test_a_loop_that_does_not_turn_for_the_limit_ends_the_process() -> None:
    blocked = a_look(has_ticked=False)

    assert after(*[blocked] * 59) is None
    assert after(*[blocked] * 60) == "the event loop did not turn for 60 s"


def test_a_loop_that_turned_once_begins_anew() -> None:
    blocked = a_look(has_ticked=False)

    assert after(*[blocked] * 59, a_look(), *[blocked] * 59) is None


def test_a_process_that_was_frozen_as_a_whole_goes_on() -> None:
    frozen = a_look(seconds=3600, has_ticked=False)

    assert after(a_look(), frozen, a_look(), stall_seconds=2) is None


def test_a_consumer_that_stays_silent_ends_the_process() -> None:
    silent = a_look(is_consumer_silent=True)

    assert after(*[silent] * int(CONSUMER_GRACE_SECONDS)) == "the consumer shows no sign of life"


def test_a_consumer_that_wakes_up_late_goes_on() -> None:
    assert after(a_look(seconds=3600, is_consumer_silent=True), a_look()) is None


def test_a_dead_lease_thread_ends_the_process_at_once() -> None:
    assert after(a_look(is_keeper_dead=True)) == "the thread that extends leases ended"


async def test_a_blocked_loop_is_seen_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "LOOK_SECONDS", 0.02)
    is_ended, reasons = threading.Event(), list[str]()

    def end(reason: str) -> None:
        reasons.append(reason)
        is_ended.set()

    watchdog = Watchdog(
        stall_seconds=0.4,
        is_consumer_silent=lambda: False,
        is_keeper_dead=lambda: False,
        end=end,
    )
    watching_task = asyncio.create_task(watchdog.run())
    await asyncio.sleep(0.05)
    is_seen_early = is_ended.is_set()
    # Blocks the loop, as a handler might.
    is_seen = is_ended.wait(timeout=30)
    watching_task.cancel()
    await asyncio.wait({watching_task})

    assert not is_seen_early
    assert is_seen
    assert reasons[0].startswith("the event loop did not turn")


async def test_a_watchdog_that_was_stopped_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "LOOK_SECONDS", 0.01)
    reasons: list[str] = []
    watchdog = Watchdog(
        stall_seconds=0.3,
        is_consumer_silent=lambda: False,
        is_keeper_dead=lambda: False,
        end=reasons.append,
    )
    task = asyncio.create_task(watchdog.run())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task})

    time.sleep(0.6)  # noqa: ASYNC251 - what the test is about

    assert reasons == []


def test_the_stacks_name_where_each_thread_stands() -> None:
    stacks = stacks_of_all_threads()

    assert "test_the_stacks_name_where_each_thread_stands" in stacks
