"""When a task is likely to start, from what was measured; never from a guess.

A pool with all slots taken frees one each ``mean run / slots``, so whoever stands at place n
behind the free slots starts after n of those. Where no attempt has ended lately there is no
mean, and the answer says so.

Before: ``explanations`` knows that a task stands in line.
After: its explanation has a time, or why there is none.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from orchestrator_core.explanations import PoolFacts, QueuePlace, TaskFacts
from orchestrator_core.pools import PoolReport

LONGEST_SECONDS: Final = 366 * 86_400.0
"""Beyond what a date can hold there is nothing to tell."""


@dataclass(frozen=True, slots=True)
class Expectation:
    """When a task starts, and where that comes from."""

    start_at: datetime | None
    sentence: str


def expect_start(facts: TaskFacts, *, is_waiting: bool) -> Expectation:
    """Say when the next attempt of a task begins.

    Args:
        facts: of the task.
        is_waiting: whether it stands in line, so that all it takes is its turn.
    """
    standing = facts.standing
    if standing.status.is_final:
        return Expectation(None, "It has ended.")
    if standing.lease_until is not None:
        return Expectation(None, "An attempt has it; when that ends is not foreseen.")
    if standing.due_at is not None and not standing.is_due:
        return Expectation(standing.due_at, "Then it is due; it starts when a slot is free.")
    if not is_waiting or facts.place is None or facts.pool is None:
        return Expectation(None, "Something has to happen first that nobody can foresee.")
    return _expect_turn(standing.read_at, facts.place, facts.pool, facts.report)


def _expect_turn(
    now: datetime, place: QueuePlace, pool: PoolFacts, report: PoolReport | None
) -> Expectation:
    slots = _coming_slots(pool, report)
    is_empty = pool.workers == 0
    booting = report.pod_start_seconds if is_empty and report is not None else 0.0
    start = f"a worker starts within {booting:.0f} s" if booting else ""
    # All slots of workers that are yet to come are free when they do.
    turn = place.ahead + 1 - (slots if is_empty else pool.free_slots)
    if turn <= 0:
        told = f"Measured: {start}." if start else "A slot is free."
        return Expectation(now + timedelta(seconds=booting), told)
    if pool.mean_run_seconds is None:
        return Expectation(None, "No attempt has ended lately, so nothing is measured.")
    waits = booting + turn * pool.mean_run_seconds / slots
    basis = f"the latest {pool.measured_attempts} attempts took {pool.mean_run_seconds:.3g} s each"
    told = f"Measured: {', '.join(filter(None, [basis, f'{slots} slots', start]))}."
    if waits > LONGEST_SECONDS:
        return Expectation(None, f"Not within a year. {told}")
    earliest = " At the earliest: more wait than were counted." if place.is_counted_out else ""
    return Expectation(now + timedelta(seconds=waits), f"{told}{earliest}")


def _coming_slots(pool: PoolFacts, report: PoolReport | None) -> int:
    """Return how many slots there are, or will be when the workers that are wanted have come."""
    wanted = 0
    if report is not None:
        # Asked for one task at least, the operator starts a worker.
        wanted = max(report.desired_replicas or 0, 1 if pool.workers == 0 else 0)
        wanted *= report.slots_per_pod
    return max(pool.slots, wanted, 1)
