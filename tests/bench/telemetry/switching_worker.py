"""A worker, with variants that take turns: ``python -m tests.bench.telemetry.switching_worker``.

Before: tasks are of traces that are sampled as often as the promise says.
After: it works as always; ``switching`` writes what that took.
"""

import asyncio
import sys

from orchestrator_core.ending import end
from orchestrator_worker import app
from orchestrator_worker.__main__ import main
from orchestrator_worker.reporting import Totals
from orchestrator_worker.wiring import Resources, Worker
from tests.bench.telemetry.switching import Switcher

SLICE_SECONDS = 0.5

_run, _count = app.run, Totals.count


async def _run_switching(worker: Worker, resources: Resources, *, drain_seconds: float) -> None:
    switcher = Switcher(slice_seconds=SLICE_SECONDS)

    def count(totals: Totals, seconds: float) -> None:
        _count(totals, seconds)
        switcher.count()

    Totals.count = count  # type: ignore[method-assign,assignment]
    switching = asyncio.create_task(switcher.run())
    try:
        await _run(worker, resources, drain_seconds=drain_seconds)
    finally:
        await end([switching])


if __name__ == "__main__":
    app.run = _run_switching
    sys.exit(main(sys.argv[1:]))
