"""The report: what the platform adds to the work itself.

Before: ``cli`` has the seconds of each round.
After: Markdown for people, JSON for programs, and what breaks the promise.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

MAX_OVERHEAD = 0.10
"""Of tasks that take ``LEAST_SECONDS`` or more."""
LEAST_SECONDS = 0.1

HEAD = """# Task types: the platform beside the work alone

Each case as calls of its handler in one process, one after the other, and as tasks through a
worker with one slot, over Postgres and RabbitMQ that wait for the disk; in turn, medians within a
round and over the rounds. The overhead is what claim, input, child process, result and settlement
add.

| type | case | alone, ms | as tasks, ms | overhead | tasks/s of one slot |
| --- | --- | ---: | ---: | ---: | ---: |
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Of one case: seconds a call and seconds a task, round by round."""

    name: str
    task_type: str
    says: str
    alone: Sequence[float]
    as_tasks: Sequence[float]

    @property
    def overhead(self) -> float:
        """Return the median of the rounds' ratios, less one: neighbours in time share the noise."""
        pairs = zip(self.as_tasks, self.alone, strict=True)
        return statistics.median(task / call for task, call in pairs) - 1

    def to_json(self) -> dict[str, Any]:
        """Return the medians."""
        return {
            "task_type": self.task_type,
            "alone_ms": round(statistics.median(self.alone) * 1000, 1),
            "as_tasks_ms": round(statistics.median(self.as_tasks) * 1000, 1),
            "overhead": round(self.overhead, 3),
        }


def build_report(findings: Sequence[Finding]) -> str:
    """Return the Markdown."""
    return HEAD + "".join(map(_build_row, findings))


def find_faults(findings: Sequence[Finding]) -> list[str]:
    """Return what breaks the promise: under 10 % on tasks that take 0.1 s or more."""
    return [
        f"{each.name}: overhead {each.overhead:.0%}, promised under {MAX_OVERHEAD:.0%}"
        for each in findings
        if statistics.median(each.alone) >= LEAST_SECONDS and each.overhead >= MAX_OVERHEAD
    ]


def _build_row(finding: Finding) -> str:
    alone = statistics.median(finding.alone)
    as_tasks = statistics.median(finding.as_tasks)
    overhead = f"{finding.overhead:+.0%}" if alone >= LEAST_SECONDS else "(short)"
    return (
        f"| {finding.task_type} | {finding.says} | {alone * 1000:.0f} | {as_tasks * 1000:.0f}"
        f" | {overhead} | {1 / as_tasks:.1f} |\n"
    )
