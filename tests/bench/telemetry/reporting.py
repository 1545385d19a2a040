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
"""A variant, beside which one it costs less than this share more."""

HEAD = """# What metrics and traces cost

Processor time of the API for a submission, and of the workers for a task that does nothing, in
turn, medians of the rounds: counting nothing; with metrics; with a collector as well, but nobody
traced; with one request in ten traced. A process that is the bottleneck loses as much of its
throughput. The collector takes everything and keeps nothing.

| process | bare, µs | metrics, µs | traced at 0, µs | at 10 %, µs | 0 / metrics | 10 % / bare |
| --- | ---: | ---: | ---: | ---: | ---: | ---: |
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Of one process: microseconds by variant, round by round."""

    process: str
    rounds: Mapping[str, Sequence[float]]

    def cost(self, variant: str, beside: str) -> float:
        """Return what a variant costs more than another; neighbours in time share the noise."""
        pairs = zip(self.rounds[beside], self.rounds[variant], strict=True)
        return median(more / less for less, more in pairs) - 1


def build_report(findings: Sequence[Finding]) -> str:
    """Return the Markdown."""
    return HEAD + "".join(map(_build_row, findings))


def find_faults(findings: Sequence[Finding]) -> list[str]:
    """Return what breaks the promise."""
    return [
        f"{each.process}: {variant} costs {cost:.1%} beside {beside}, promised under {most:.0%}"
        for each in findings
        for variant, beside, most in PROMISES
        if (cost := each.cost(variant, beside)) >= most
    ]


def _build_row(finding: Finding) -> str:
    figures = " | ".join(f"{median(finding.rounds[name]):.0f}" for name in VARIANTS)
    costs = " | ".join(f"{finding.cost(one, other):+.1%}" for one, other, _ in PROMISES)
    return f"| {finding.process} | {figures} | {costs} |\n"
