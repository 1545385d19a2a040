"""Run systems through scenarios, in turn, and say how far it is.

Before: ``cli`` has servers.
After: cells for ``summarizing``; faults for the exit status.
"""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tests.bench.engine.figures import Cell, Roofline
from tests.bench.engine.http_rounds import measure_http
from tests.bench.engine.machines import start_observing
from tests.bench.engine.roofline import measure_roofline
from tests.bench.engine.saying import say
from tests.bench.engine.scenarios import Place, drain, latency, steady
from tests.bench.engine.summarizing import Findings
from tests.bench.engine.systems import OURS, SYSTEMS, System
from tests.bench.engine.worker_profile import build_worker_profile
from tests.bench.engine.workers import publish_types
from tests.bench.engine.writing import write_results
from tests.bench.stores import Addresses, Servers, make_database, make_vhost

ROOFLINE_TASKS = 10_000
STEADY_SECONDS = 6.0
LATENCY_TASKS = 200
PROFILE_TASKS = 20_000
"""More than a burn-down's: a sample is taken every 4 ms."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What was asked for."""

    systems: Sequence[str]
    scenarios: Sequence[str]
    repetitions: int
    tasks: int | None
    profile: bool
    results: Path


async def run(servers: Servers, folder: Path, options: Options) -> list[str]:
    """Measure everything, write what was found; return what counts for nothing."""
    machine = start_observing()
    systems = [SYSTEMS[name] for name in options.systems]
    places = [await _prepare(servers, folder, system) for system in systems]
    rooflines = []
    if has_roofline := "roofline" in options.scenarios and OURS in systems:
        rooflines.append(await _measure_roofline(places[systems.index(OURS)]))
    cells = await _measure(places, options)
    http_rates = (
        await measure_http(servers, folder, options.systems, rounds=options.repetitions)
        if "http" in options.scenarios
        else {}
    )
    if has_roofline:
        # Whatever else the machine does makes a bound lower, never higher.
        rooflines.append(await _measure_roofline(places[systems.index(OURS)]))
    worker_profile = ""
    if "drain" in options.scenarios and OURS in systems:
        say("profile: what our worker computes (about 10 s)")
        worker_profile = await _profile(places[systems.index(OURS)], folder, tasks=PROFILE_TASKS)
    findings = Findings(
        cells=cells,
        roofline=max(rooflines, key=lambda each: each.per_second, default=None),
        http_rates=http_rates,
        worker_profile=worker_profile,
    )
    faults = [
        f"{cell.system} {cell.scenario}: {fault}" for cell in cells for fault in cell.find_faults()
    ]
    write_results(options.results, findings, machine(), faults)
    return faults


async def _measure_roofline(place: Place) -> Roofline:
    say("roofline: the servers and the thinnest client (about 30 s)")
    roofline = await measure_roofline(place, tasks=ROOFLINE_TASKS, cores=os.cpu_count() or 1)
    say(f"roofline: {roofline.per_second:.0f}/s")
    return roofline


async def profile(servers: Servers, folder: Path, *, tasks: int) -> str:
    """Return what our worker computes during a burn-down."""
    return await _profile(await _prepare(servers, folder, OURS), folder, tasks=tasks)


async def _profile(place: Place, folder: Path, *, tasks: int) -> str:
    profiles = folder / "profiles"
    profiles.mkdir()
    cell = await drain(replace(place, profiles=profiles), tasks=tasks)
    return (
        f"{build_worker_profile(profiles)}\n{_describe(cell)} under the profiler\n"
        "(samples of each worker's main thread, start and warm-up included)"
    )


async def _prepare(servers: Servers, folder: Path, system: System) -> Place:
    addresses = Addresses(
        servers=servers, name=f"bench_{system.name}", redis_database=0, queue=system.queue
    )
    await make_database(addresses, *system.schema)
    make_vhost(addresses, system.queue_arguments or None)
    place = Place(system=system, addresses=addresses, folder=folder)
    if system is OURS:
        publish_types(system, addresses, folder)
    return place


async def _measure(places: Sequence[Place], options: Options) -> list[Cell]:
    scenarios = [each for each in options.scenarios if each in {"drain", "steady", "latency"}]
    total = len(scenarios) * options.repetitions * len(places)
    cells: list[Cell] = []
    begun = time.monotonic()
    for scenario in scenarios:
        for _ in range(options.repetitions):
            for place in places:
                cells.append(await _measure_one(place, scenario, options))
                say(
                    f"[{len(cells)} of {total}, {time.monotonic() - begun:.0f} s]"
                    f" {_describe(cells[-1])}"
                )
    return cells


async def _measure_one(place: Place, scenario: str, options: Options) -> Cell:
    if scenario == "drain":
        return await drain(place, tasks=options.tasks or place.system.drain_tasks)
    if scenario == "steady":
        return await steady(place, seconds=STEADY_SECONDS)
    return await latency(place, tasks=LATENCY_TASKS)


def _describe(cell: Cell) -> str:
    parts = [f"{cell.system} {cell.scenario}: lost {cell.lost}"]
    if cell.per_second:
        parts.append(f"{cell.per_second:.0f}/s")
    if cell.latencies_ms:
        parts.append(f"median {sorted(cell.latencies_ms)[len(cell.latencies_ms) // 2]:.1f} ms")
    parts += [f"{name} {value:.0f} µs" for name, value in cell.cpu_us.items()]
    return ", ".join(parts)
