"""Run one system through one scenario, once, and account for every task.

Before: ``cli`` has servers and a database and a virtual host of the system's own.
After: a ``Cell``; the tables are as empty as before.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench.cpu_times import read_cpu_seconds
from tests.bench.engine.figures import Cell, cpu_per_task, drain_rate, rate_between, time_stations
from tests.bench.engine.kept import Kept
from tests.bench.engine.saying import say
from tests.bench.engine.systems import OURS, System
from tests.bench.engine.workers import Workers, run_producer, running_workers
from tests.bench.stores import Addresses
from tests.bench.wrk import BenchError

_WARM_UP_TASKS = 300
_START_SECONDS = 60.0
_DRAIN_SECONDS = 180.0
_LOOK_SECONDS = 0.2
_STEADY_MARGIN_SECONDS = 1.0
_REST_SECONDS = 0.5
"""Until nothing is on its way, before workers are frozen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where and how one cell is measured."""

    system: System
    addresses: Addresses
    folder: Path
    profiles: Path | None = None


@dataclass(frozen=True, slots=True)
class _Stage:
    """Workers that are warm, over empty tables."""

    place: Place
    workers: Workers
    kept: Kept

    def read_cpu_seconds(self) -> dict[str, float]:
        servers = self.place.addresses.servers.list_pids()
        roots = {
            "postgres": servers["postgres"],
            "rabbitmq": servers["rabbitmq"],
            **{f"worker {number}": pid for number, pid in enumerate(self.workers.pids)},
        }
        readings = read_cpu_seconds(roots)
        workers = [name for name in readings if name.startswith("worker ")]
        return {
            "worker": sum(readings.pop(name) for name in workers),
            **readings,
        }

    async def produce(self, *arguments: str) -> Mapping[str, object]:
        place = self.place
        return await run_producer(place.system, place.addresses, place.folder, *arguments)

    async def await_completed(self, tasks: int) -> int:
        """Wait for all tasks; return how many were completed when patience ended."""
        completed = 0
        try:
            async with asyncio.timeout(_DRAIN_SECONDS):
                while completed < tasks:
                    await asyncio.sleep(_LOOK_SECONDS)
                    completed = await self.kept.count_completed()
                    self.workers.check()
        except TimeoutError:
            say(f"  only {completed} of {tasks} tasks after {_DRAIN_SECONDS:.0f} s")
        return completed


async def drain(place: Place, *, tasks: int) -> Cell:
    """Queue ``tasks`` while the workers are frozen, then let them go.

    Frozen and not yet started: nobody's start-up is in the figure, and all have met their
    Postgres before.
    """
    async with _staged(place) as stage:
        stage.workers.freeze()
        produced = await stage.produce("--tasks", str(tasks))
        await stage.kept.analyze()
        before = stage.read_cpu_seconds()
        stage.workers.go()
        submitted = int(str(produced["submitted"]))
        completed = await stage.await_completed(submitted)
        after = stage.read_cpu_seconds()
        finish_times = await stage.kept.list_finish_times()
        wrong = await stage.kept.count_wrong_results()
        left = await _end(stage)
    return Cell(
        system=place.system.name,
        scenario="drain",
        submitted=submitted,
        completed=completed,
        wrong_results=wrong,
        left_messages=left,
        per_second=drain_rate(finish_times),
        enqueued_per_second=submitted / float(str(produced["seconds"])),
        cpu_us=cpu_per_task(before, after, completed),
    )


async def steady(place: Place, *, seconds: float) -> Cell:
    """Let producers and workers work side by side; count what is completed meanwhile."""
    async with _staged(place) as stage:
        before = stage.read_cpu_seconds()
        produced = await stage.produce("--seconds", str(seconds), "--queue", place.system.queue)
        submitted = int(str(produced["submitted"]))
        completed = await stage.await_completed(submitted)
        after = stage.read_cpu_seconds()
        finish_times = await stage.kept.list_finish_times()
        wrong = await stage.kept.count_wrong_results()
        left = await _end(stage)
    start = (finish_times[0] if finish_times else 0.0) + _STEADY_MARGIN_SECONDS
    end = start + seconds - 2 * _STEADY_MARGIN_SECONDS
    return Cell(
        system=place.system.name,
        scenario="steady",
        submitted=submitted,
        completed=completed,
        wrong_results=wrong,
        left_messages=left,
        per_second=rate_between(finish_times, start, end),
        enqueued_per_second=submitted / float(str(produced["seconds"])),
        cpu_us={
            **cpu_per_task(before, after, completed),
            "producer": float(str(produced["cpu_seconds"])) / max(1, submitted) * 1e6,
        },
    )


async def latency(place: Place, *, tasks: int) -> Cell:
    """Submit one task at a time and time each until its row is COMPLETED."""
    async with _staged(place) as stage:
        produced = await stage.produce("--latency", "--tasks", str(tasks))
        submitted = int(str(produced["submitted"]))
        completed = await stage.await_completed(submitted)
        wrong = await stage.kept.count_wrong_results()
        moves = await stage.kept.list_moves() if place.system is OURS else []
        left = await _end(stage)
    latencies, begun_at, seen_at = (
        produced[name] for name in ("latencies_ms", "begun_at", "seen_at")
    )
    assert isinstance(latencies, list)
    assert isinstance(begun_at, list)
    assert isinstance(seen_at, list)
    return Cell(
        system=place.system.name,
        scenario="latency",
        submitted=submitted,
        completed=completed,
        wrong_results=wrong,
        left_messages=left,
        latencies_ms=latencies,
        stations_ms=time_stations(begun_at, moves, seen_at),
    )


@asynccontextmanager
async def _staged(place: Place) -> AsyncIterator[_Stage]:
    async with Kept.open(place.system, place.addresses) as kept:
        await kept.clear()
        with running_workers(
            place.system, place.addresses, place.folder, profiles=place.profiles
        ) as workers:
            stage = _Stage(place, workers, kept)
            await _warm_up(stage)
            await kept.clear()
            yield stage
        await kept.clear()


async def _warm_up(stage: _Stage) -> None:
    try:
        async with asyncio.timeout(_START_SECONDS):
            await stage.kept.await_consumers(stage.workers.check)
    except TimeoutError:
        raise BenchError(
            f"{stage.place.system.name}: no consumer after {_START_SECONDS:.0f} s:\n"
            f"{stage.workers.logs[0].read_text()[-3000:]}"
        ) from None
    await stage.produce("--tasks", str(_WARM_UP_TASKS))
    if await stage.await_completed(_WARM_UP_TASKS) != _WARM_UP_TASKS:
        raise BenchError(
            f"{stage.place.system.name} did not complete its first tasks:\n"
            f"{stage.workers.logs[0].read_text()[-3000:]}"
        )
    await asyncio.sleep(_REST_SECONDS)


async def _end(stage: _Stage) -> int:
    """End the workers; return how many messages they leave, held or not."""
    await asyncio.to_thread(stage.workers.stop)
    return await stage.kept.count_messages()
