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

Each case as calls of its handler, one after the other in each of {processes} processes, and as
tasks through one worker on the same cores with two slots for each of them, over Postgres and
RabbitMQ that run there too and wait for the disk; in turn, medians of the rounds. The overhead is
what claim, input, child process, result and settlement add to the time of a task; it is judged
where a call takes 0.1 s or more. Inputs come out of Postgres, results go into it: 3 and 7 ms of
processor time a megabyte on the machine of the last run, more than half of it Postgres's. Where the
work is little more than reading and writing a large table, that is the overhead.

| type | case | input, MB | a call, ms | alone, 1/s | as tasks, 1/s | overhead |
| --- | --- | ---: | ---: | ---: | ---: | ---: |
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Of one case: calls and tasks a second, round by round."""

    name: str
    task_type: str
    says: str
    input_bytes: int
    processes: int
    alone: Sequence[float]
    as_tasks: Sequence[float]

    @property
    def overhead(self) -> float:
        """Return the median of the rounds' ratios, less one: neighbours in time share the noise."""
        pairs = zip(self.alone, self.as_tasks, strict=True)
        return statistics.median(calls / tasks for calls, tasks in pairs) - 1

    @property
    def call_seconds(self) -> float:
        """Return how long a call takes, all processes busy."""
        return self.processes / statistics.median(self.alone)

    def to_json(self) -> dict[str, Any]:
        """Return the medians."""
        return {
            "task_type": self.task_type,
            "input_bytes": self.input_bytes,
            "processes": self.processes,
            "alone_per_s": round(statistics.median(self.alone), 2),
            "as_tasks_per_s": round(statistics.median(self.as_tasks), 2),
            "overhead": round(self.overhead, 3),
        }


def build_report(findings: Sequence[Finding], *, processes: int) -> str:
    """Return the Markdown."""
    return HEAD.format(processes=processes) + "".join(map(_build_row, findings))


def find_faults(findings: Sequence[Finding]) -> list[str]:
    """Return what breaks the promise: under 10 % on tasks that take 0.1 s or more."""
    return [
        f"{each.name}: overhead {each.overhead:.0%}, promised under {MAX_OVERHEAD:.0%}"
        for each in findings
        if each.call_seconds >= LEAST_SECONDS and each.overhead >= MAX_OVERHEAD
    ]


def _build_row(finding: Finding) -> str:
    alone = statistics.median(finding.alone)
    as_tasks = statistics.median(finding.as_tasks)
    is_judged = finding.call_seconds >= LEAST_SECONDS
    overhead = f"{finding.overhead:+.0%}" if is_judged else "(short)"
    return (
        f"| {finding.task_type} | {finding.says} | {finding.input_bytes / 1e6:.1f}"
        f" | {finding.call_seconds * 1000:.0f} | {alone:.1f} | {as_tasks:.1f} | {overhead} |\n"
    )
