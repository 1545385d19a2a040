"""How many workers the load calls for: the scaling law, as pure code.

Backlog per worker, which other autoscalers are told to hold, says nothing of how
long a task takes, so its right value changes with the workload. This law asks
for slots instead: enough for the work that arrives (arrival rate times service
time, Little's law), a margin against its randomness (its square root, after
which the chance to wait no longer depends on scale), and enough to clear what
waits within the promised latency. A task that may not run yet arrives when it may.

    rate     = max(10 s mean, 60 s mean) of arrivals
    load     = rate * mean service time
    deadline = max(target latency, start of a pod)
    slots    = max(load + sqrt(load), in flight) + gain * ready * service time / deadline
    gain     = clamp(age of the oldest / (2 * deadline), 1, 2)
    workers  = ceil(slots / slots per pod), never more than tasks could use

Out at once, from zero too. In by the peak of two minutes, with a dead band, a
quarter a minute at most, and never a busy worker: those who are to go are told
first to take nothing new (``goal_replicas``), and the number falls by who has finished.
What is ready comes from
Postgres alone; the depth of the RabbitMQ queue holds doorbells, which may be
lost or doubled, and is good for a cross-check only.

Before: ``scaling`` hands in a reading and what it remembered.
After: ``scaling`` acts on the decision; status, events and metrics repeat its terms.
"""

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from orchestrator_operator.load_memory import (
    PEAK_WINDOW_SECONDS,
    LawState,
    PodCounts,
    Reading,
    distrust,
    find_fault,
    learn,
    remember_scale_in,
    remember_wish,
)
from orchestrator_operator.spec import ScalingMode

__all__ = [
    "Decision",
    "Direction",
    "Finding",
    "LawState",
    "PodCounts",
    "Reading",
    "ScalingMode",
    "ScalingTarget",
    "Terms",
    "decide",
    "hold",
]

SAFETY: Final = 1.0
"""Margin in standard deviations of the load.

Simulated (sine load): 0.5 / 1 / 2 cost 18 / 19 / 22 pod-hours for a wait of 2 / 1 / 0 s at p99.
"""
LARGEST_GAIN: Final = 2.0
DEAD_BAND: Final = 0.10
SCALE_IN_SHARE: Final = 0.25
"""Of the workers at the start of the period, per ``SCALE_IN_PERIOD_SECONDS``."""
IDLE_READINGS: Final = 3
"""Readings in a row that must show no work, so that one odd answer never empties a pool."""
ROUNDING: Final = 1e-9
"""Float noise must not buy a worker."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingTarget:
    """What the resource asks for."""

    mode: ScalingMode = ScalingMode.AUTOMATIC
    fixed_replicas: int = 1
    """``spec.worker.replicas``, the number in the modes Fixed and External."""
    min_replicas: int = 0
    max_replicas: int = 10
    slots_per_pod: int = 4
    target_latency_seconds: float = 10.0
    idle_after_seconds: float = 300.0
    pod_start_seconds: float = 8.0
    """From a pod's creation to readiness, until it has been measured."""
    connection_limit_replicas: int | None = None
    """As many workers as Postgres has connections for; None when unknown."""

    @property
    def ceiling_replicas(self) -> int:
        """The most workers ever asked for."""
        if self.connection_limit_replicas is None:
            return self.max_replicas
        return max(self.min_replicas, min(self.max_replicas, self.connection_limit_replicas))


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What the number was made of, in slots unless the name says otherwise."""

    load_slots: float
    safety_slots: float
    in_flight_slots: int
    backlog_slots: float
    useful_slots: float
    """As many as there are tasks to use them, now and by the time a pod has started."""
    rate_per_second: float
    service_seconds: float
    deadline_seconds: float
    replicas: int
    """What these terms ask for, before any bound."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A condition's content; stable while nothing changes, so that status does not churn."""

    reason: str
    message: str
    is_true: bool


class Direction(StrEnum):
    """What becomes of the number of workers."""

    OUT = "ScaledOut"
    IN = "ScaledIn"
    STAY = "Steady"
    HOLD = "Held"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What to do now, and why."""

    replicas: int
    """To set now: on its way to the goal, and leaves out only removable pods."""
    desired_replicas: int
    """What the load calls for, always within the bounds."""
    goal_replicas: int
    """Where the number may go now: whoever is beyond it should finish and take nothing new."""
    direction: Direction
    terms: Terms | None
    """None when the reading could not be believed."""
    why: str
    """One sentence for a person, without the numbers of workers."""
    active: Finding
    limited: Finding


LOAD_UNAVAILABLE: Final = "LoadUnavailable"
ACTIVE: Final = Finding("ReadingsFresh", "the load is read from Postgres", is_true=True)
WITHIN_BOUNDS: Final = Finding(
    "WithinBounds", "the load asks for no more than is allowed", is_true=False
)


def decide(state: LawState, reading: Reading, target: ScalingTarget) -> tuple[LawState, Decision]:
    """Turn one reading into a number of workers.

    Args:
        state: what the call before returned; ``LawState()`` at first.
        reading: may be wrong or stale, then the number is held.
        target: ``pod_start_seconds`` as measured, if it was.
    """
    fault = find_fault(state, reading)
    if fault is not None:
        held = hold(reading.current_replicas, target, fault.reason, fault.message)
        return distrust(state, reading, fault), held
    state = learn(state, reading)
    terms = weigh(state, reading, target)
    state = remember_wish(state, terms.replicas)
    limited = _find_limit(state, terms, reading, target)
    desired = _within(_rested(terms.replicas, state, reading, target), target)
    current = reading.current_replicas
    goal = _goal(state, reading, target, desired)
    replicas = max(goal, current - reading.pods.removable) if goal < current else goal
    if replicas < current:
        state = remember_scale_in(state, current - replicas)
    return state, Decision(
        replicas=replicas,
        desired_replicas=desired,
        goal_replicas=goal,
        direction=_direction(current, replicas),
        terms=terms,
        why=_explain(state, reading, target, terms, replicas),
        active=ACTIVE,
        limited=limited,
    )


def hold(replicas: int, target: ScalingTarget, reason: str, message: str) -> Decision:
    """Keep what runs when the load is not known; only ``min`` still holds."""
    kept = max(replicas, target.min_replicas)
    return Decision(
        replicas=kept,
        desired_replicas=_within(kept, target),
        goal_replicas=kept,
        direction=Direction.HOLD,
        terms=None,
        why=message,
        active=Finding(reason, message, is_true=False),
        limited=WITHIN_BOUNDS,
    )


def weigh(state: LawState, reading: Reading, target: ScalingTarget) -> Terms:
    """Compute the terms of the law from what is remembered and what is seen."""
    load = reading.load
    rate, service_seconds = state.rate_per_second, state.service_seconds
    offered = rate * service_seconds
    deadline_seconds = max(target.target_latency_seconds, target.pod_start_seconds)
    gain = min(LARGEST_GAIN, max(1.0, load.oldest_ready_age_seconds / (2 * deadline_seconds)))
    safety = SAFETY * math.sqrt(offered)
    backlog = gain * load.ready_tasks * service_seconds / deadline_seconds
    useful = (
        load.ready_tasks
        + load.in_flight_tasks
        + rate * target.pod_start_seconds
        + SAFETY * math.sqrt(max(offered, 1.0))
    )
    # Running tasks keep their slots even when the mean service time lags behind
    # them: without this, long tasks hide in the mean and what is ready waits.
    slots = min(max(offered + safety, load.in_flight_tasks) + backlog, useful)
    return Terms(
        load_slots=offered,
        safety_slots=safety,
        in_flight_slots=load.in_flight_tasks,
        backlog_slots=backlog,
        useful_slots=useful,
        rate_per_second=rate,
        service_seconds=service_seconds,
        deadline_seconds=deadline_seconds,
        replicas=max(
            math.ceil(slots / target.slots_per_pod - ROUNDING),
            1 if load.ready_tasks > 0 else 0,
        ),
    )


def _rested(wish: int, state: LawState, reading: Reading, target: ScalingTarget) -> int:
    """Apply what only a pool without work knows: stay up for a while, then go; wake for work."""
    if reading.load.ready_tasks > 0:
        return wish
    if _is_idle(state, target):
        return 0
    # Arrivals of the last minute do not wake a sleeping pool: nobody waits.
    return 0 if reading.current_replicas == 0 else max(wish, 1)


def _is_idle(state: LawState, target: ScalingTarget) -> bool:
    return state.idle_readings >= IDLE_READINGS and state.idle_seconds >= target.idle_after_seconds


def _goal(state: LawState, reading: Reading, target: ScalingTarget, desired: int) -> int:
    """Return where the number may go now, if everybody who has to go has finished."""
    current = reading.current_replicas
    if desired >= current:
        return max(current, target.min_replicas) if _is_failing(reading.pods) else desired
    if _is_idle(state, target):
        return desired
    if current > target.ceiling_replicas:
        # Somebody lowered the bound: no window.
        return target.ceiling_replicas
    return max(desired, current - _scale_in_room(state, current, target))


def _scale_in_room(state: LawState, current: int, target: ScalingTarget) -> int:
    """How many workers may go now: peak, dead band and pace, in that order."""
    if not state.is_watched_long_enough:
        return 0
    surplus = current - max(state.peak_wish, target.min_replicas)
    if surplus < max(1, math.ceil(DEAD_BAND * current)):
        return 0
    gone = sum(mark.replicas for mark in state.scale_ins)
    allowed = max(1, math.ceil(SCALE_IN_SHARE * (current + gone)))
    return max(0, min(surplus, allowed - gone))


def _is_failing(pods: PodCounts) -> bool:
    """More workers would crash too, or pull the same missing image."""
    return pods.failing * 2 > pods.living


def _within(replicas: int, target: ScalingTarget) -> int:
    return max(target.min_replicas, min(replicas, target.ceiling_replicas))


def _find_limit(state: LawState, terms: Terms, reading: Reading, target: ScalingTarget) -> Finding:
    """Say what keeps the pool smaller than the load asks for.

    A bound limits at once, and until no wish of the window is above it; else a load around it
    would turn the condition at every other reading.
    """
    ceiling = target.ceiling_replicas
    if terms.replicas > reading.current_replicas and _is_failing(reading.pods):
        return _limit("WorkersFailing", "more than half of the workers crash or cannot start")
    if state.peak_wish <= ceiling:
        return WITHIN_BOUNDS
    if ceiling < target.max_replicas:
        connections = f"Postgres has connections for {ceiling} workers: raise max_connections"
        return _limit("DatabaseConnections", connections)
    return _limit("TooManyReplicas", f"the load asks for more than max, {ceiling} workers")


def _limit(reason: str, message: str) -> Finding:
    return Finding(reason, message, is_true=True)


def _direction(current: int, replicas: int) -> Direction:
    if replicas == current:
        return Direction.STAY
    return Direction.OUT if replicas > current else Direction.IN


def _explain(
    state: LawState, reading: Reading, target: ScalingTarget, terms: Terms, replicas: int
) -> str:
    """Put the ground of a decision into one sentence for a person."""
    load = reading.load
    rate = f"{terms.rate_per_second:.1f}/s × {terms.service_seconds:.1f} s"
    if replicas >= reading.current_replicas:
        return f"{load.ready_tasks} ready, {rate}, target {terms.deadline_seconds:g} s"
    if _is_idle(state, target):
        return f"nothing to do for {state.idle_seconds:.0f} s"
    peak = f"peak of {PEAK_WINDOW_SECONDS:.0f} s was {state.peak_wish}"
    return f"{load.in_flight_tasks} in flight, {rate}, {peak}"
