"""Leases are spared after an outage, not after a blip, and never for ever."""

import pytest

from orchestrator_api.sparing import GRACE_SECONDS, OUTAGE_SECONDS, Sparing
from spared_leases import AClock, sparing_nothing


@pytest.fixture
def clock() -> AClock:
    return AClock()


def silent_for(seconds: float, sparing: Sparing, clock: AClock) -> None:
    """Let each question of so many seconds stay without an answer."""
    until = clock.now + seconds
    sparing.note_silence()
    while clock.now < until:
        clock.now += 1
        sparing.note_silence()


def test_leases_are_spared_from_an_outage_until_some_seconds_after_its_first_answer(
    clock: AClock,
) -> None:
    sparing = sparing_nothing(clock)
    seen = [sparing.is_on]

    silent_for(30, sparing, clock)
    seen.append(sparing.is_on)
    sparing.note_answer()
    clock.now += GRACE_SECONDS - 0.1
    sparing.note_answer()
    seen.append(sparing.is_on)
    clock.now += 0.2
    seen.append(sparing.is_on)

    assert seen == [False, True, True, False]


def test_a_server_that_fails_now_and_then_keeps_no_lost_task_waiting(clock: AClock) -> None:
    sparing, seen = sparing_nothing(clock), []

    for _ in range(20):
        silent_for(OUTAGE_SECONDS - 1, sparing, clock)
        sparing.note_answer()
        seen.append(sparing.is_on)

    assert not any(seen)


def test_a_second_outage_within_the_grace_begins_it_anew(clock: AClock) -> None:
    sparing = sparing_nothing(clock)
    for _ in range(2):
        silent_for(OUTAGE_SECONDS, sparing, clock)
        sparing.note_answer()

    clock.now += GRACE_SECONDS - 1

    assert sparing.is_on


def test_a_process_that_starts_takes_its_first_answer_for_the_end_of_an_outage(
    clock: AClock,
) -> None:
    sparing = Sparing(clock)
    clock.now += 100
    seen = [sparing.is_on]

    sparing.note_answer()
    seen.append(sparing.is_on)
    clock.now += GRACE_SECONDS
    seen.append(sparing.is_on)

    assert seen == [True, True, False]
