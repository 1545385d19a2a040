"""A process that says more or less of itself from one moment to the next.

Two processes of the same code differ by some percent for as long as they live, by where their
memory lies, and this machine's speed changes by the second. So the variants take turns within one
process, and each is held against the other of its block.

Before: ``switching_api`` and ``switching_worker`` run a process with a collector.
After: ``slices`` reads what each slice took.
"""

import asyncio
import json
import os
import threading
import time
from pathlib import Path
from random import Random

from prometheus_client import Gauge

from orchestrator_core import spans
from orchestrator_core.counting import Counter, Histogram
from tests.bench.telemetry.promises import AT_TENTH, AT_ZERO, BARE, Promise
from tests.bench.telemetry.slices import Slice

FOLDER_VARIABLE = "ORCHESTRATOR_BENCH_SLICES"
VARIANTS_VARIABLE = "ORCHESTRATOR_BENCH_VARIANTS"
_LOUD = (
    (Counter, "inc", Counter.inc),
    (Gauge, "set", Gauge.set),
    (Histogram, "observe", Histogram.observe),
)


def to_environment(promise: Promise, folder: Path) -> dict[str, str]:
    """Return the variables that a process needs to take turns."""
    return {
        FOLDER_VARIABLE: str(folder),
        VARIANTS_VARIABLE: f"{promise.variant},{promise.beside}",
        "OTEL_TRACES_SAMPLER_ARG": str(promise.sampling_ratio),
    }


class Switcher:
    """Lets the variants take turns, in another order each time."""

    def __init__(self, *, slice_seconds: float) -> None:
        """Take how long a turn is; what is under way at its end counts for the next one."""
        self._variants = os.environ[VARIANTS_VARIABLE].split(",")
        self._path = Path(os.environ[FOLDER_VARIABLE]) / f"{os.getpid()}.jsonl"
        self._slice_seconds = slice_seconds
        self._units = 0

    def count(self) -> None:
        """Count a request or an attempt."""
        self._units += 1

    async def run(self) -> None:
        """Go on until cancelled; each slice is a line of JSON."""
        chance = Random(os.getpid())
        take = spans._on_end  # noqa: SLF001 - what is measured
        assert take is not None, "nobody exports"
        [exporter] = [each for each in threading.enumerate() if each.name == "spans"]
        assert exporter.ident is not None
        clock = time.pthread_getcpuclockid(exporter.ident)
        with self._path.open("a", encoding="utf-8", buffering=1) as output:
            while True:
                for variant in chance.sample(self._variants, len(self._variants)):
                    _silence(variant == BARE)
                    spans._on_end = take if variant in (AT_ZERO, AT_TENTH) else None  # noqa: SLF001
                    self._units, process, export = 0, time.process_time(), time.clock_gettime(clock)
                    await asyncio.sleep(self._slice_seconds)
                    exporting = time.clock_gettime(clock) - export
                    found = Slice(
                        variant=variant,
                        units=self._units,
                        own_seconds=time.process_time() - process - exporting,
                        exporting_seconds=exporting,
                    )
                    output.write(json.dumps(found._asdict()) + "\n")


def _silence(is_silent: bool) -> None:  # noqa: FBT001 - one of two states
    """Make every metric of this process deaf, or hear again."""
    for kind, name, usual in _LOUD:
        setattr(kind, name, _ignore if is_silent else usual)


def _ignore(*_: object) -> None:
    pass
