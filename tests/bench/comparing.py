"""From rounds to a verdict: figures per side, their ratio, and whether that is enough.

Before: ``rounds`` has measured both sides in turn.
After: a person reads the table, a machine the JSON, ``make`` the verdict.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median

from tests.bench.wrk import Load

MIN_RATIO = 2.0
"""What the project promises for submissions against a textbook service."""
COMPONENTS = ("api", "postgres", "redis", "rabbitmq", "wrk")


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One side under load once."""

    load: Load
    cpu_seconds: Mapping[str, float]
    """By component, until everything the answers left behind was done too."""
    rows: int
    """Tasks in Postgres afterwards."""
    unrung: int
    """Of these, how many RabbitMQ did not have yet when the load ended."""

    @property
    def created_per_second(self) -> float:
        """Return the rate of 201s."""
        return self.load.answers / self.load.duration_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One service over all its rounds."""

    created_per_second: float
    p50_ms: float
    p99_ms: float
    unrung: int
    cpu_us_per_request: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Both sides and what follows."""

    ours: Side
    textbook: Side
    ratio: float
    """Of 201s a second; the median of the rounds' own ratios."""
    lowest_ratio: float
    highest_ratio: float

    def find_faults(self) -> list[str]:
        """Return what keeps this from being good enough."""
        faults = []
        if self.ratio < MIN_RATIO:
            faults.append(f"expected at least {MIN_RATIO} times the 201/s, found {self.ratio:.2f}")
        if self.ours.p99_ms > self.textbook.p99_ms:
            faults.append(
                f"expected a p99 of at most the textbook's {self.textbook.p99_ms:.1f} ms,"
                f" found {self.ours.p99_ms:.1f} ms"
            )
        return faults

    def to_json(self) -> dict[str, object]:
        """Return all figures."""
        return {**asdict(self), "faults": self.find_faults()}


def compare(ours: Sequence[Round], textbook: Sequence[Round]) -> Comparison:
    """Compare rounds that were run in pairs, one of each side after the other.

    The machine's speed changes from minute to minute, so each pair has its own ratio.
    """
    ratios = [
        mine.created_per_second / theirs.created_per_second
        for mine, theirs in zip(ours, textbook, strict=True)
    ]
    return Comparison(
        ours=_summarize(ours),
        textbook=_summarize(textbook),
        ratio=median(ratios),
        lowest_ratio=min(ratios),
        highest_ratio=max(ratios),
    )


def build_table(comparison: Comparison) -> str:
    """Return the figures for people."""
    sides = (comparison.ours, comparison.textbook)
    rows = [
        ("", "ours", "textbook"),
        ("201/s", *(f"{side.created_per_second:.0f}" for side in sides)),
        ("p50 ms", *(f"{side.p50_ms:.1f}" for side in sides)),
        ("p99 ms", *(f"{side.p99_ms:.1f}" for side in sides)),
        ("unrung at the end", *(f"{side.unrung}" for side in sides)),
        *(
            (f"CPU µs {name}", *(f"{side.cpu_us_per_request[name]:.0f}" for side in sides))
            for name in COMPONENTS
        ),
        ("CPU µs together", *(f"{sum(side.cpu_us_per_request.values()):.0f}" for side in sides)),
    ]
    lines = [f"{name:<20}{mine:>10}{theirs:>10}" for name, mine, theirs in rows]
    lines.append(
        f"ratio {comparison.ratio:.2f}"
        f" (rounds from {comparison.lowest_ratio:.2f} to {comparison.highest_ratio:.2f})"
    )
    return "\n".join(lines)


def _summarize(rounds: Sequence[Round]) -> Side:
    answers = sum(each.load.answers for each in rounds)
    return Side(
        created_per_second=answers / sum(each.load.duration_seconds for each in rounds),
        p50_ms=median(each.load.p50_ms for each in rounds),
        p99_ms=median(each.load.p99_ms for each in rounds),
        unrung=max(each.unrung for each in rounds),
        cpu_us_per_request={
            name: sum(each.cpu_seconds[name] for each in rounds) / answers * 1e6
            for name in COMPONENTS
        },
    )
