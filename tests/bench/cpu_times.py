"""CPU time of a server with all its processes, from ``/proc``.

Before: ``rounds`` names the first process of each server.
After: differences of two readings, divided by requests, say what a request costs.
"""

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class ProcessTimes:
    """One process: its parent, and its CPU time with that of its ended children."""

    parent: int
    cpu_seconds: float


def read_cpu_seconds(roots: Mapping[str, int]) -> dict[str, float]:
    """Return the CPU time of each root process and all below it, by name of the root."""
    processes = dict(_read_all())
    return {name: sum_tree(pid, processes) for name, pid in roots.items()}


def sum_tree(root: int, processes: Mapping[int, ProcessTimes]) -> float:
    """Return the CPU seconds of ``root`` and its descendants; 0 when it is gone."""
    children: dict[int, list[int]] = defaultdict(list)
    for pid, process in processes.items():
        children[process.parent].append(pid)
    total_seconds, waiting = 0.0, [root]
    while waiting:
        pid = waiting.pop()
        if pid in processes:
            total_seconds += processes[pid].cpu_seconds
            waiting.extend(children[pid])
    return total_seconds


def parse_stat(text: str) -> ProcessTimes:
    """Return what a line of ``/proc/<pid>/stat`` says (proc(5))."""
    # The name in parentheses may hold anything; what follows the last one is numbers.
    fields = text.rpartition(")")[2].split()
    # utime, stime, and cutime, cstime: a backend that ended is not forgotten.
    ticks = sum(int(field) for field in fields[11:15])
    return ProcessTimes(parent=int(fields[1]), cpu_seconds=ticks / _TICKS_PER_SECOND)


def _read_all() -> Iterator[tuple[int, ProcessTimes]]:
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                yield int(folder.name), parse_stat((folder / "stat").read_text())
            except (FileNotFoundError, ProcessLookupError):
                continue  # it ended meanwhile
