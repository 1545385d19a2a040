"""The producer process: submit tasks the way the system's users do.

Before: ``scenarios`` starts ``python -m tests.bench.engine.producing SYSTEM ...``.
After: one line of JSON says what was submitted, and for latency how long each task took.
"""

import argparse
import asyncio
import itertools
import json
import os
import time
from collections.abc import Awaitable, Callable

import asyncpg

from tests.bench.engine.contract import PRODUCER_CLIENTS
from tests.bench.engine.saying import say
from tests.bench.engine.submitters import Submit, find_submitter
from tests.bench.engine.valve import Valve

_FOREVER_SECONDS = 3600.0
_LOOK_SECONDS = 0.0002
_PATIENCE_SECONDS = 30.0


async def produce(submit: Submit, *, tasks: int, seconds: float, valve: Valve) -> dict[str, object]:
    """Submit ``tasks``, or for ``seconds``, whichever ends first."""
    numbers = itertools.count()
    submitted = 0
    begun = time.monotonic()

    async def be_client() -> None:
        nonlocal submitted
        while time.monotonic() - begun < seconds:
            await valve.is_open.wait()
            if next(numbers) >= tasks:
                return
            await submit()
            submitted += 1

    await asyncio.gather(*(be_client() for _ in range(PRODUCER_CLIENTS)))
    return {"submitted": submitted, "seconds": time.monotonic() - begun}


async def measure_latency(submit: Submit, *, tasks: int) -> dict[str, object]:
    """Submit one task after the other; take the time until its row is COMPLETED.

    The row is asked for again and again by its primary key, the same for every system.
    """
    connection = await asyncpg.connect(os.environ["DATABASE_URL"])
    try:
        statement = await connection.prepare("SELECT status = 'COMPLETED' FROM tasks WHERE id = $1")
        times = [await _time_one(submit, statement.fetchval) for _ in range(tasks)]
    finally:
        await connection.close()
    return {
        "submitted": tasks,
        "latencies_ms": [(seen - begun) * 1000 for begun, seen in times],
        "begun_at": [begun for begun, _ in times],
        "seen_at": [seen for _, seen in times],
    }


async def _time_one(
    submit: Submit, is_completed: Callable[[int], Awaitable[bool]]
) -> tuple[float, float]:
    """Return when submit was called and when the row was seen COMPLETED: on the wall's clock, which
    is the database's too."""
    begun = time.time()
    async with asyncio.timeout(_PATIENCE_SECONDS):
        task_id = await submit()
        while not await is_completed(task_id):  # noqa: ASYNC110 - only the row itself counts
            await asyncio.sleep(_LOOK_SECONDS)
    return begun, time.time()


async def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.engine.producing")
    parser.add_argument("system")
    parser.add_argument("--tasks", type=int, default=10**9)
    parser.add_argument("--seconds", type=float, default=_FOREVER_SECONDS)
    parser.add_argument("--queue", help="pause while many messages wait here")
    parser.add_argument("--latency", action="store_true", help="one task at a time")
    options = parser.parse_args()
    async with find_submitter(options.system)() as submit, Valve.watching(options.queue) as valve:
        if options.latency:
            report = await measure_latency(submit, tasks=options.tasks)
        else:
            report = await produce(
                submit, tasks=options.tasks, seconds=options.seconds, valve=valve
            )
    say(json.dumps({**report, "cpu_seconds": time.process_time()}))


if __name__ == "__main__":
    asyncio.run(_main())
