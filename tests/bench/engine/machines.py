"""What machine this is and whether it was ours alone meanwhile.

Before: ``running`` begins to observe.
After: the report says how far its figures can be trusted.
"""

import os
import platform
from collections.abc import Callable
from pathlib import Path

from tests.bench.engine.reporting import Machine

_STEAL = 7
"""Its place in the first line of /proc/stat (proc(5)), after the name."""


def start_observing() -> Callable[[], Machine]:
    """Return what says how it went, to be called in the end."""
    load_before, before = os.getloadavg()[0], _read_ticks()

    def observe() -> Machine:
        spent = [now - then for now, then in zip(_read_ticks(), before, strict=True)]
        return Machine(
            description=f"{os.cpu_count()} cores, {_find_processor()}, Linux {platform.release()},"
            f" Python {platform.python_version()}",
            load_before=load_before,
            steal_percent=100 * spent[_STEAL] / max(1, sum(spent)),
        )

    return observe


def _read_ticks() -> list[int]:
    line = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0]
    return [int(field) for field in line.split()[1:9]]


def _find_processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
