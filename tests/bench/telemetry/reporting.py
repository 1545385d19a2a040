"""The report: what a request and a task cost more for being counted and traced.

Before: ``slices`` has the processor time of each block of slices.
After: Markdown for people, and what breaks a promise.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import hypot, sqrt
from statistics import mean, variance

from tests.bench.telemetry.promises import Promise
from tests.bench.telemetry.slices import Block

WHOLE = "a task from request to result"
TRIMMED = 0.2
"""Of the blocks, on either side: while one ran, this machine did something else as well."""

HEAD = """# What metrics and traces cost

Processor time of the API for a submission, and of the workers for a task that does nothing: bare;
counted, that is with metrics; at 0, with a collector as well, but nobody traced; at 10 %, with one
request in ten traced. The two variants of a row take turns of half a second within one process, by
chance, so nothing else differs. Means of all pairs of turns but the fifth on either side, and the
standard error of their difference. The shares are of all that the work takes, the stores' part
too: so much of its throughput does a machine lose that is full. What is promised is the whole's;
of a task that does anything at all it is less. The thread that sends spans counts for the
variant. The collector takes everything, keeps nothing, and is not counted.

| work | variant | beside | pairs | beside, µs | more, µs | stores, µs | more | promised |
| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |
"""

Findings = Mapping[Promise, "Sequence[Finding]"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A mean that does not mind outliers."""

    value: float
    error: float
    """Its standard error."""


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
    """Of one promise and one kind of work."""

    work: str
    blocks: Sequence[Block]
    """At least four."""
    stores_us: float

    @property
    def beside_us(self) -> float:
        """What the process takes without what is measured."""
        return estimate([each.beside_us for each in self.blocks]).value

    @property
    def more_us(self) -> Estimate:
        """What it takes more with that."""
        return estimate([each.more_us for each in self.blocks])


def estimate(values: Sequence[float]) -> Estimate:
    """Return the trimmed mean of at least four values (Yuen 1974, Biometrika 61, 165)."""
    ordered = sorted(values)
    cut = int(TRIMMED * len(ordered))
    kept = ordered[cut : len(ordered) - cut]
    winsorized = [kept[0]] * cut + kept + [kept[-1]] * cut
    squares = (len(ordered) - 1) * variance(winsorized)
    return Estimate(value=mean(kept), error=sqrt(squares / (len(kept) * (len(kept) - 1))))


def cost_of(findings: Sequence[Finding]) -> Cost:
    """Return what a variant costs in all these kinds of work together."""
    whole = sum(each.beside_us + each.stores_us for each in findings)
    more = [each.more_us for each in findings]
    return Cost(
        share=sum(each.value for each in more) / whole,
        error=hypot(*(each.error for each in more)) / whole,
    )


def build_report(found: Findings) -> str:
    """Return the Markdown."""
    return HEAD + "".join(
        row
        for promise, findings in found.items()
        for row in (
            *(_build_row(promise, each.work, [each], "") for each in findings),
            _build_row(promise, WHOLE, findings, f"< {promise.most_share:.0%}"),
        )
    )


def find_faults(found: Findings) -> list[str]:
    """Return what breaks a promise."""
    return [
        f"{WHOLE}: {promise.variant} costs {cost} beside {promise.beside},"
        f" promised under {promise.most_share:.0%}"
        for promise, findings in found.items()
        if (cost := cost_of(findings)).share >= promise.most_share
    ]


def _build_row(promise: Promise, work: str, findings: Sequence[Finding], promised: str) -> str:
    figures = (
        sum(each.beside_us for each in findings),
        sum(each.more_us.value for each in findings),
        sum(each.stores_us for each in findings),
    )
    cells = (
        *(work, promise.variant, promise.beside),
        *(str(min(len(each.blocks) for each in findings)), *(f"{each:.0f}" for each in figures)),
        *(str(cost_of(findings)), promised),
    )
    return f"| {' | '.join(cells)} |\n"
