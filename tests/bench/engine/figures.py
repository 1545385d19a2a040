"""What one cell of the benchmark found, and the arithmetic over cells. Pure.

Before: ``scenarios`` measure one system once.
After: ``summarizing`` takes medians, ``reporting`` shows them.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

WARM_UP_SHARE = 0.05
"""Of a burn-down's tasks: what comes first is getting going, not speed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One system in one scenario, once."""

    system: str
    scenario: str
    submitted: int
    completed: int
    wrong_results: int = 0
    left_messages: int = 0
    """In the queue after the workers have ended."""
    per_second: float = 0.0
    enqueued_per_second: float = 0.0
    latencies_ms: Sequence[float] = ()
    stations_ms: Mapping[str, float] = field(default_factory=dict)
    """Of one task's way from submit to COMPLETED: the median time to each station. Ours only."""
    cpu_us: Mapping[str, float] = field(default_factory=dict)
    """Per task, by component."""

    @property
    def lost(self) -> int:
        """Return how many tasks were accepted and have no right result."""
        return self.submitted - self.completed + self.wrong_results

    def find_faults(self) -> list[str]:
        """Return why this cell's figures count for nothing."""
        faults = []
        if self.lost:
            faults.append(
                f"{self.submitted} submitted, {self.completed} completed,"
                f" {self.wrong_results} of them with a wrong result"
            )
        if self.left_messages:
            faults.append(f"{self.left_messages} messages left")
        return faults


@dataclass(frozen=True, slots=True, kw_only=True)
class Roofline:
    """What this machine could do at most."""

    cores: int
    cpu_us: Mapping[str, float]
    """Per task: of each server, and of the thinnest client of each."""
    fsync_us: float

    @property
    def per_second(self) -> float:
        """Return tasks per second when every core works all the time."""
        return self.cores / sum(self.cpu_us.values()) * 1e6


@dataclass(frozen=True, slots=True)
class Spread:
    """Repetitions of one figure."""

    median: float
    lowest: float
    highest: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Summarize at least one value."""
        return cls(median(values), min(values), max(values))


def drain_rate(finish_times: Sequence[float]) -> float:
    """Return tasks per second between the first 5 % and the last of sorted times in seconds."""
    first = math.ceil(len(finish_times) * WARM_UP_SHARE)
    if len(finish_times) - first < 2:
        return 0.0
    took_seconds = finish_times[-1] - finish_times[first]
    return (len(finish_times) - 1 - first) / took_seconds if took_seconds > 0 else 0.0


def rate_between(finish_times: Sequence[float], start: float, end: float) -> float:
    """Return tasks per second in a window of the database's clock."""
    return sum(1 for at in finish_times if start <= at < end) / (end - start)


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the nearest-rank percentile of at least one value."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def cpu_per_task(
    before: Mapping[str, float], after: Mapping[str, float], tasks: int
) -> dict[str, float]:
    """Return microseconds of CPU per task from two readings in seconds, by component."""
    return {name: (after[name] - before[name]) / max(1, tasks) * 1e6 for name in before}


def time_stations(
    begun_at: Sequence[float], moves: Sequence[tuple[float, float, float]], seen_at: Sequence[float]
) -> dict[str, float]:
    """Return the median milliseconds from each station of a task's way to the next.

    Args:
        begun_at: when each task was submitted, in seconds.
        moves: when it was accepted, claimed and settled.
        seen_at: when its row was seen COMPLETED.
    """
    ways = [
        (begun, *moved, seen) for begun, moved, seen in zip(begun_at, moves, seen_at, strict=False)
    ]
    if not ways:
        return {}
    legs = ("submit to accepted", "accepted to claimed", "claimed to settled", "settled to seen")
    return {
        leg: median((way[number + 1] - way[number]) * 1000 for way in ways)
        for number, leg in enumerate(legs)
    }
