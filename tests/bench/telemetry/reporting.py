"""The report: what a request and a task cost more for being counted and traced.

Before: ``slices`` has the processor time of each block of slices.
After: Markdown for people, and what breaks the promise.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import hypot, sqrt
from statistics import mean, stdev

from tests.bench.telemetry.slices import AT_TENTH, AT_ZERO, BARE, COUNTED, VARIANTS, Block

PROMISES = ((AT_ZERO, COUNTED, 0.01), (AT_TENTH, BARE, 0.05))
"""A variant, beside which one it costs less than this share more, over the whole way of a task."""
WHOLE = "a task from request to result"

HEAD = """# What metrics and traces cost

Processor time of the API for a submission, and of the workers for a task that does nothing: bare;
with metrics; with a collector as well, but nobody traced; with one request in ten traced. They take
turns within one process, in another order each time, so nothing else differs; means of all blocks
of four turns, and the standard error of a difference. The shares are of all that the work takes,
the stores' part too: so much of its throughput does a machine lose that is full. What is promised
is the last row's; of a task that does anything at all it is less. The thread that sends spans
counts for the last variant. The collector takes everything, keeps nothing, and is not counted.

| work | blocks | bare, µs | metrics | at 0 | at 10 % | stores | 0 / metrics | 10 % / bare |
| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a variant takes more than another, as a share of all that that takes."""

    share: float
    error: float
    """Standard error of the share."""

    def __str__(self) -> str:
        return f"{self.share:+.1%} ± {self.error:.1%}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Of one kind of work."""

    work: str
    blocks: Sequence[Block]
    """At least two."""
    stores_us: float

    def own_us(self, variant: str) -> float:
        """Return what the process itself takes."""
        return mean(block[variant] for block in self.blocks)

    def error_us(self, variant: str, beside: str) -> float:
        """Return the standard error of the difference of two variants."""
        differences = [block[variant] - block[beside] for block in self.blocks]
        return stdev(differences) / sqrt(len(differences))


def cost_of(findings: Sequence[Finding], variant: str, beside: str) -> Cost:
    """Return what ``variant`` costs in all these kinds of work together."""
    less = sum(each.own_us(beside) for each in findings)
    whole = less + sum(each.stores_us for each in findings)
    more = sum(each.own_us(variant) for each in findings) - less
    error = hypot(*(each.error_us(variant, beside) for each in findings))
    return Cost(share=more / whole, error=error / whole)


def build_report(findings: Sequence[Finding]) -> str:
    """Return the Markdown."""
    rows = [_build_row(each.work, [each]) for each in findings]
    return HEAD + "".join(rows) + _build_row(WHOLE, findings)


def find_faults(findings: Sequence[Finding]) -> list[str]:
    """Return what breaks the promise."""
    return [
        f"{WHOLE}: {variant} costs {cost} beside {beside}, promised under {most:.0%}"
        for variant, beside, most in PROMISES
        if (cost := cost_of(findings, variant, beside)).share >= most
    ]


def _build_row(work: str, findings: Sequence[Finding]) -> str:
    own = [sum(each.own_us(name) for each in findings) for name in VARIANTS]
    stores = sum(each.stores_us for each in findings)
    figures = " | ".join(f"{value:.0f}" for value in (*own, stores))
    costs = " | ".join(str(cost_of(findings, one, other)) for one, other, _ in PROMISES)
    blocks = min(len(each.blocks) for each in findings)
    return f"| {work} | {blocks} | {figures} | {costs} |\n"
