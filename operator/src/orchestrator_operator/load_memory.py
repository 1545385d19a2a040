"""What the scaling law remembers from one reading of the load to the next.

A reading is a snapshot and counters that only grow; the law needs rates, a mean
service time, the peak of the last two minutes and how long nothing has been to
do. All of it is one frozen value, so a decision can be replayed from a log line
and a test needs no clock.

Before: ``scaling`` hands in one ``Reading`` every second or two.
After: ``autoscaling.decide`` weighs what is remembered into a number of workers.
"""

import math
from dataclasses import dataclass, replace
from typing import Final

from orchestrator_core.load import Load

FAST_RATE_SECONDS: Final = 10.0
"""Time constant of the mean that sees a burst: a rate is believed within one target latency."""
SLOW_RATE_SECONDS: Final = 60.0
"""Time constant of the mean that outlives a pause, so that a gap of seconds frees no worker."""
SERVICE_MEMORY_SECONDS: Final = 300.0
"""How long a finished task counts for the mean service time: a new release may be slower."""
PRIOR_TASKS: Final = 20.0
"""Weight of what is believed before anything is known, in finished tasks."""
PRIOR_SERVICE_SECONDS: Final = 5.0
PEAK_WINDOW_SECONDS: Final = 120.0
"""Scale-in follows the highest wish of this window.

300 s in the simulation: a fifth fewer changes for a fifth more pod-hours.
"""
SCALE_IN_PERIOD_SECONDS: Final = 60.0
WATCH_GAP_SECONDS: Final = 30.0
"""Readings further apart than this do not tell what happened in between."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PodCounts:
    """How the worker pods are; terminating ones are not counted."""

    living: int = 0
    failing: int = 0
    """Crash-looping, or unable to start at all (image, configuration)."""
    removable: int = 0
    """Drained, or not there yet: taking them away harms nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """All that one decision is made from."""

    now_seconds: float
    """Of a monotonic clock."""
    load: Load
    current_replicas: int
    pods: PodCounts


@dataclass(frozen=True, slots=True, kw_only=True)
class Marked:
    """A number of workers and when it was so."""

    at_seconds: float
    replicas: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LawState:
    """The memory; a new operator starts with ``LawState()``."""

    previous: Load | None = None
    previous_at_seconds: float = 0.0
    watched_since_seconds: float = 0.0
    """Since when readings have come without a gap or a fault: before it, nothing is known."""
    fast_rate_per_second: float = 0.0
    slow_rate_per_second: float = 0.0
    finished_tasks: float = 0.0
    """Decaying with ``SERVICE_MEMORY_SECONDS``, like ``busy_seconds``."""
    busy_seconds: float = 0.0
    last_work_at_seconds: float = 0.0
    idle_readings: int = 0
    """Readings in a row that showed nothing ready, nothing in flight and no arrival."""
    wishes: tuple[Marked, ...] = ()
    """Falling: a later and higher wish makes an earlier one irrelevant for the peak."""
    scale_ins: tuple[Marked, ...] = ()
    """Workers taken away within the last ``SCALE_IN_PERIOD_SECONDS``."""

    @property
    def rate_per_second(self) -> float:
        """Arrivals, quick to rise and slow to fall."""
        return max(self.fast_rate_per_second, self.slow_rate_per_second)

    @property
    def service_seconds(self) -> float:
        """Mean slot time of a task; the prior until tasks have finished."""
        busy = PRIOR_TASKS * PRIOR_SERVICE_SECONDS + self.busy_seconds
        return busy / (PRIOR_TASKS + self.finished_tasks)

    @property
    def is_watched_long_enough(self) -> bool:
        """Whether the peak window is filled with readings of our own."""
        return self.previous_at_seconds - self.watched_since_seconds >= PEAK_WINDOW_SECONDS

    @property
    def idle_seconds(self) -> float:
        """Since something was last seen to be ready, in flight or arriving."""
        return self.previous_at_seconds - self.last_work_at_seconds

    @property
    def peak_wish(self) -> int:
        """The highest number wished for within the window."""
        return max((wish.replicas for wish in self.wishes), default=0)


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a reading cannot be believed."""

    reason: str
    """CamelCase, for a condition."""
    message: str


def find_fault(state: LawState, reading: Reading) -> Fault | None:
    """Say what is wrong with a reading, if anything.

    Completions and busy seconds may go back: they are summed over workers, and
    rows of workers long gone are pruned. Arrivals may not: then this is another
    database, or an older copy of it.
    """
    load = reading.load
    numbers = (
        load.ready_tasks,
        load.in_flight_tasks,
        load.scheduled_tasks,
        load.oldest_ready_age_seconds,
        load.arrivals_total,
        load.completions_total,
        load.busy_seconds_total,
        reading.current_replicas,
    )
    if not all(math.isfinite(number) and number >= 0 for number in numbers):
        return Fault("ImpossibleReading", f"a number is negative or not finite: {load}")
    if state.previous is None:
        return None
    if reading.now_seconds <= state.previous_at_seconds:
        return Fault("ClockStoodStill", "two readings bear the same time")
    if load.arrivals_total < state.previous.arrivals_total:
        went = f"{state.previous.arrivals_total}→{load.arrivals_total}"
        return Fault("CountersWentBack", f"tasks ever accepted went {went}: another database?")
    return None


def distrust(state: LawState, reading: Reading, fault: Fault) -> LawState:
    """Keep what is known, and let scale-in wait until the window is filled anew.

    Counters that went back become the base of the next difference; a reading of
    impossible numbers is no base of anything.
    """
    if fault.reason != "CountersWentBack":
        return state
    return replace(
        state,
        previous=reading.load,
        previous_at_seconds=reading.now_seconds,
        watched_since_seconds=reading.now_seconds,
        last_work_at_seconds=reading.now_seconds,
        idle_readings=0,
    )


def learn(state: LawState, reading: Reading) -> LawState:
    """Take a believable reading into the memory; the wishes come after the decision."""
    if state.previous is None:
        return _first_memory(reading)
    load, previous, now = reading.load, state.previous, reading.now_seconds
    elapsed_seconds = now - state.previous_at_seconds
    finished, busy_seconds = _finished_since(previous, load)
    arrivals = _arrived_since(previous, load, finished)
    decay = math.exp(-elapsed_seconds / SERVICE_MEMORY_SECONDS)
    has_work = load.ready_tasks > 0 or load.in_flight_tasks > 0 or arrivals > 0
    return replace(
        state,
        previous=load,
        previous_at_seconds=now,
        watched_since_seconds=(
            now if elapsed_seconds > WATCH_GAP_SECONDS else state.watched_since_seconds
        ),
        fast_rate_per_second=_mean(
            state.fast_rate_per_second, arrivals, elapsed_seconds, FAST_RATE_SECONDS
        ),
        slow_rate_per_second=_mean(
            state.slow_rate_per_second, arrivals, elapsed_seconds, SLOW_RATE_SECONDS
        ),
        finished_tasks=state.finished_tasks * decay + finished,
        busy_seconds=state.busy_seconds * decay + busy_seconds,
        last_work_at_seconds=now if has_work else state.last_work_at_seconds,
        idle_readings=0 if has_work else state.idle_readings + 1,
        scale_ins=_since(state.scale_ins, now - SCALE_IN_PERIOD_SECONDS),
    )


def remember_wish(state: LawState, replicas: int) -> LawState:
    """Add what the law would have now to the window of the peak."""
    now = state.previous_at_seconds
    earlier = _since(state.wishes, now - PEAK_WINDOW_SECONDS)
    higher = tuple(wish for wish in earlier if wish.replicas > replicas)
    return replace(state, wishes=(*higher, Marked(at_seconds=now, replicas=replicas)))


def remember_scale_in(state: LawState, replicas: int) -> LawState:
    """Note that this many workers are taken away now."""
    mark = Marked(at_seconds=state.previous_at_seconds, replicas=replicas)
    return replace(state, scale_ins=(*state.scale_ins, mark))


def _first_memory(reading: Reading) -> LawState:
    """Start from what the totals and the running tasks tell: a restart is no reason to be naive.

    The lifetime mean service time counts as much as the prior; the tasks in
    flight are the offered load (Little's law), which gives the rate.
    """
    load, now = reading.load, reading.now_seconds
    finished = min(float(load.completions_total), PRIOR_TASKS)
    lifetime_mean = load.busy_seconds_total / max(load.completions_total, 1)
    blank = LawState(
        previous=load,
        previous_at_seconds=now,
        watched_since_seconds=now,
        finished_tasks=finished,
        busy_seconds=finished * lifetime_mean,
        last_work_at_seconds=now,
    )
    rate = load.in_flight_tasks / blank.service_seconds if blank.service_seconds > 0 else 0.0
    return replace(blank, fast_rate_per_second=rate, slow_rate_per_second=rate)


def _finished_since(previous: Load, load: Load) -> tuple[int, float]:
    """Tasks and slot-seconds since then; none when rows were pruned in between."""
    finished = load.completions_total - previous.completions_total
    busy_seconds = load.busy_seconds_total - previous.busy_seconds_total
    if finished < 0 or busy_seconds < 0:
        return 0, 0.0
    return finished, busy_seconds


def _arrived_since(previous: Load, load: Load, finished: int) -> int:
    """Tasks that have come to be done since then: a delayed one comes when its time does.

    That would be what was accepted without the growth of what is scheduled, if retries did not
    wait there too and nobody cancelled. So the two are bounds, and what came to be ready, running
    or finished decides between them. By itself that is too rough: workers tell what they finished
    up to a second late. While as many are scheduled as before, all that was accepted has come.
    """
    accepted = load.arrivals_total - previous.arrivals_total
    scheduled = load.scheduled_tasks - previous.scheduled_tasks
    ready = load.ready_tasks - previous.ready_tasks
    in_flight = load.in_flight_tasks - previous.in_flight_tasks
    seen = ready + in_flight + finished
    _, arrived, _ = sorted((accepted, accepted - scheduled, seen))
    return max(0, arrived)


def _mean(mean: float, events: int, elapsed_seconds: float, constant_seconds: float) -> float:
    """Exponentially weighted mean rate, right for any distance between readings."""
    weight = -math.expm1(-elapsed_seconds / constant_seconds)
    return mean + weight * (events / elapsed_seconds - mean)


def _since(marks: tuple[Marked, ...], horizon_seconds: float) -> tuple[Marked, ...]:
    return tuple(mark for mark in marks if mark.at_seconds >= horizon_seconds)
