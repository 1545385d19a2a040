"""What the engine promises beside its peers, and by how much a run keeps or misses it. Pure.

Before: ``summarizing`` has the figures.
After: ``reporting`` says so, kept or not.
"""

from collections.abc import Iterator

from tests.bench.engine.summarizing import Findings

OURS = "ours"
BROKER_PEERS = ("celery", "dramatiq", "taskiq")
MIN_TIMES_BEST_PEER = 2.0
MIN_TIMES_CELERY = 5.0
MIN_ROOFLINE_SHARE = 0.5


def judge(findings: Findings) -> list[str]:
    """Return a sentence for each promise that this run can judge."""
    return [
        *_judge_drain(findings),
        *(line for percent in (50, 99) for line in _judge_latency(findings, percent)),
        *_judge_roofline(findings),
    ]


def _judge_drain(findings: Findings) -> Iterator[str]:
    rates = findings.rates("drain")
    peers = {name: rates[name].median for name in BROKER_PEERS if name in rates}
    if OURS not in rates or not peers:
        return
    best = max(peers, key=peers.__getitem__)
    yield _say(
        f"burn-down of the best peer ({best})",
        rates[OURS].median / peers[best],
        MIN_TIMES_BEST_PEER,
    )
    if "celery" in peers:
        yield _say("burn-down of Celery", rates[OURS].median / peers["celery"], MIN_TIMES_CELERY)


def _judge_latency(findings: Findings, percent: int) -> Iterator[str]:
    found = findings.latencies(percent)
    peers = {name: found[name].median for name in BROKER_PEERS if name in found}
    if OURS not in found or not peers:
        return
    best = min(peers, key=peers.__getitem__)
    mine = found[OURS].median
    verdict = "kept" if mine <= peers[best] else "**missed**"
    yield (
        f"submit to COMPLETED, p{percent}: {mine:.1f} ms beside {peers[best]:.1f} ms of the best"
        f" peer ({best}): {verdict}"
    )


def _judge_roofline(findings: Findings) -> Iterator[str]:
    rates, roofline = findings.rates("drain"), findings.roofline
    if OURS not in rates or roofline is None:
        return
    share = rates[OURS].median / roofline.per_second
    verdict = "kept" if share >= MIN_ROOFLINE_SHARE else "**missed**"
    yield (
        f"{share:.0%} of the roofline of {roofline.per_second:.0f}/s, promised"
        f" {MIN_ROOFLINE_SHARE:.0%}: {verdict}"
    )


def _say(subject: str, ratio: float, promised: float) -> str:
    verdict = "kept" if ratio >= promised else "**missed**"
    return f"{ratio:.2f} times the {subject}, promised {promised:g} times: {verdict}"
