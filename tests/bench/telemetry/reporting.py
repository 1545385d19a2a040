"""The report: what a request and a task cost more for being counted and traced.

Before: ``cli`` has the processor time of each round of each variant.
After: Markdown for people, and what breaks the promise.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

BARE, COUNTED, AT_ZERO, AT_TENTH = VARIANTS = ("bare", "counted", "at 0", "at 10 %")
"""Nothing; metrics; metrics and a collector, but nobody traced; one request in ten traced."""
PROMISES = ((AT_ZERO, COUNTED, 0.01), (AT_TENTH, BARE, 0.05))
"""A variant, beside which one it costs less than this share more, over the whole way of a task."""
WHOLE = "a task from request to result"

HEAD = """# What metrics and traces cost

Processor time of the API for a submission, and of the workers for a task that does nothing: bare;
with metrics; with a collector as well, but nobody traced; with one request in ten traced. All four
are measured at the same time, on the same stores, because this machine's speed changes by the
second; medians of the rounds. The shares are of all that the work takes, the stores' part too: so
much of its throughput does a machine lose that is full. What is promised is the last row's; of a
task that does anything at all it is less. The collector takes everything, keeps nothing, and is not
counted.

| work | bare, µs | metrics, µs | at 0, µs | at 10 %, µs | stores, µs | 0 / metrics | 10 % / bare |
| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Of one round, in microseconds for a submission or a task."""

    own_us: Mapping[str, float]
    """Of the process itself, by variant."""
    stores_us: float

    def cost(self, variant: str, beside: str) -> float:
        """Return what a variant takes more than another, as a share of all that that takes."""
        less = self.own_us[beside]
        return (self.own_us[variant] - less) / (less + self.stores_us)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Of one kind of work."""

    work: str
    rounds: Sequence[Figures]

    def cost(self, variant: str, beside: str) -> float:
        """Return the median of the rounds' costs."""
        return median(each.cost(variant, beside) for each in self.rounds)


def add_up(findings: Sequence[Finding]) -> Finding:
    """Return what all of it takes, round by round."""
    rounds = [
        Figures(
            own_us={name: sum(each.own_us[name] for each in parts) for name in VARIANTS},
            stores_us=sum(each.stores_us for each in parts),
        )
        for parts in zip(*(finding.rounds for finding in findings), strict=True)
    ]
    return Finding(work=WHOLE, rounds=rounds)


def build_report(findings: Sequence[Finding]) -> str:
    """Return the Markdown."""
    return HEAD + "".join(map(_build_row, (*findings, add_up(findings))))


def find_faults(findings: Sequence[Finding]) -> list[str]:
    """Return what breaks the promise."""
    whole = add_up(findings)
    return [
        f"{whole.work}: {variant} costs {cost:.1%} beside {beside}, promised under {most:.0%}"
        for variant, beside, most in PROMISES
        if (cost := whole.cost(variant, beside)) >= most
    ]


def _build_row(finding: Finding) -> str:
    own = [median(each.own_us[name] for each in finding.rounds) for name in VARIANTS]
    stores = median(each.stores_us for each in finding.rounds)
    figures = " | ".join(f"{value:.0f}" for value in (*own, stores))
    costs = " | ".join(f"{finding.cost(one, other):+.1%}" for one, other, _ in PROMISES)
    return f"| {finding.work} | {figures} | {costs} |\n"
