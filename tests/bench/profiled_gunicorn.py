"""gunicorn's production settings, with samples of the worker's CPU time taken by signal.

The kernel sends SIGPROF every few milliseconds of CPU time; the handler notes the stack. That needs
no tool on the machine and no privilege, and costs a few percent.

Before: ``contenders`` starts gunicorn with ``-c python:tests.bench.profiled_gunicorn``.
After: the worker writes the samples when it ends; ``profiles`` reads them.
"""

import json
import os
import signal
import sys
from collections import Counter
from pathlib import Path
from types import FrameType

from orchestrator_api.gunicorn_config import *  # noqa: F403 - exactly the production settings

_SAMPLE_SECONDS = 0.004
"""The kernel's own clock ticks no faster."""
_samples: Counter[tuple[str, ...]] = Counter()


def post_worker_init(_: object) -> None:
    """Begin to take samples."""
    # uvicorn shuts down by handlers of its own, then raises the signal again for this one.
    signal.signal(signal.SIGTERM, _write_samples)
    signal.signal(signal.SIGPROF, _take_sample)
    signal.setitimer(signal.ITIMER_PROF, _SAMPLE_SECONDS, _SAMPLE_SECONDS)


def _write_samples(_signal: int, _frame: FrameType | None) -> None:
    """Write what was found, then go."""
    signal.setitimer(signal.ITIMER_PROF, 0)
    samples = [{"stack": list(stack), "count": count} for stack, count in _samples.items()]
    Path(os.environ["ORCHESTRATOR_BENCH_PROFILE"]).write_text(json.dumps(samples))
    sys.exit()


def _take_sample(_: int, frame: FrameType | None) -> None:
    stack = []
    while frame is not None:
        code = frame.f_code
        stack.append(f"{code.co_filename}:{code.co_qualname}")
        frame = frame.f_back
    _samples[tuple(stack)] += 1
