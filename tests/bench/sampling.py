"""Samples of the main thread's stack, taken by signal while the process computes.

The kernel sends SIGPROF every few milliseconds of CPU time; the handler notes the stack. That needs
no tool on the machine and no privilege, and costs a few percent.

Before: a process under test calls ``start_sampling``.
After: it calls ``write_samples`` when it ends; ``profiles`` reads them.
"""

import json
import signal
from collections import Counter
from pathlib import Path
from types import FrameType

_SAMPLE_SECONDS = 0.004
"""The kernel's own clock ticks no faster."""
_samples: Counter[tuple[str, ...]] = Counter()


def start_sampling() -> None:
    """Begin to take samples."""
    signal.signal(signal.SIGPROF, _take_sample)
    signal.setitimer(signal.ITIMER_PROF, _SAMPLE_SECONDS, _SAMPLE_SECONDS)


def write_samples(path: Path) -> None:
    """Stop, and write what was found."""
    signal.setitimer(signal.ITIMER_PROF, 0)
    samples = [{"stack": list(stack), "count": count} for stack, count in _samples.items()]
    path.write_text(json.dumps(samples))


def forget_samples() -> None:
    """Begin anew: what came before was not meant."""
    _samples.clear()


def _take_sample(_: int, frame: FrameType | None) -> None:
    stack = []
    while frame is not None:
        code = frame.f_code
        stack.append(f"{code.co_filename}:{code.co_qualname}")
        frame = frame.f_back
    _samples[tuple(stack)] += 1
