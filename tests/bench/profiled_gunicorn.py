"""gunicorn's production settings, with samples of what its worker computes.

Before: ``contenders`` starts gunicorn with ``-c python:tests.bench.profiled_gunicorn``.
After: the worker writes the samples when it ends; ``profiles`` reads them.
"""

import os
import signal
import sys
from pathlib import Path
from types import FrameType

from orchestrator_api.gunicorn_config import *  # noqa: F403 - exactly the production settings
from tests.bench.sampling import start_sampling, write_samples


def post_worker_init(_: object) -> None:
    """Begin to take samples."""
    # uvicorn shuts down by handlers of its own, then raises the signal again for this one.
    signal.signal(signal.SIGTERM, _write_samples)
    start_sampling()


def _write_samples(_signal: int, _frame: FrameType | None) -> None:
    """Write what was found, then go."""
    write_samples(Path(os.environ["ORCHESTRATOR_BENCH_PROFILE"]))
    sys.exit()
