"""``make bench-telemetry``: what a submission and a task cost more for being counted and traced.

Before: ``make`` or a person starts it.
After: a report in ``tests/bench/results``; exit status 1 when the promise is broken.
"""

import argparse
import asyncio
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

import services
from hack.services import LOGS, SERVERS
from hack.tooling import packages
from hack.tooling.errors import ToolError, explain
from hack.tooling.packages import Program
from hack.tooling.steps import Progress
from services import ServiceError
from tests.bench.contenders import running_api
from tests.bench.engine.saying import say, warn
from tests.bench.engine.scenarios import Place, drain
from tests.bench.engine.workers import publish_types
from tests.bench.rounds import run_round
from tests.bench.stores import Addresses, Servers, make_database, make_vhost, running_servers
from tests.bench.telemetry.reporting import Figures, Finding, build_report, find_faults
from tests.bench.telemetry.variants import Variant, build_variants
from tests.bench.wrk import BenchError

PROGRAMS = (*SERVERS, Program("wrk", "wrk"))
RESULTS = Path("tests/bench/results/telemetry.md")
WARM_UP_SECONDS, ROUND_SECONDS = 3, 6
DRAIN_TASKS = 20_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, report, judge; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.telemetry", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="of each variant; default 7")
    options = parser.parse_args(arguments)
    try:
        packages.install(PROGRAMS, Progress(LOGS.expanduser()), usual_seconds=30)
        with (
            running_servers() as servers,
            collecting() as collector,
            tempfile.TemporaryDirectory() as folder,
        ):
            variants = build_variants(collector)
            findings = [
                asyncio.run(_measure_api(servers, Path(folder), variants, options.rounds)),
                asyncio.run(_measure_workers(servers, Path(folder), variants, options.rounds)),
            ]
    except ToolError as error:
        warn(explain(error))
        return 1
    except (BenchError, ServiceError) as error:
        warn(f"bench-telemetry: {error}")
        return 1
    report = build_report(findings)
    RESULTS.write_text(report, encoding="utf-8")
    say(report)
    faults = find_faults(findings)
    for fault in faults:
        warn(f"bench-telemetry: {fault}")
    return 1 if faults else 0


@contextmanager
def collecting() -> Iterator[str]:
    """Run the sink; give its address."""
    port = services.free_port()
    process = subprocess.Popen([sys.executable, "-m", "tests.bench.telemetry.sink", str(port)])
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


async def _measure_api(
    servers: Servers, folder: Path, variants: Sequence[Variant], rounds: int
) -> Finding:
    found = []
    for number in range(rounds):
        # New processes each time: two of the same code differ by some percent for as long as they
        # live, by where their memory lies.
        figures = await _measure_new_apis(servers, folder / f"apis-{number}", variants)
        found.append(figures)
        _tell("API", number, rounds, figures)
    return Finding(work="a submission", rounds=found)


async def _measure_new_apis(servers: Servers, folder: Path, variants: Sequence[Variant]) -> Figures:
    async with AsyncExitStack() as stack:
        apis = []
        for number, variant in enumerate(variants):
            own = folder / str(number)
            own.mkdir(parents=True)
            name = f"{folder.name}-{number}".replace("-", "_")
            addresses = Addresses(servers=servers, name=name, redis_database=number)
            api = await stack.enter_async_context(
                running_api(
                    addresses, own, command=variant.api_command, environment=variant.environment
                )
            )
            apis.append(api)
        await asyncio.gather(*(run_round(each, seconds=WARM_UP_SECONDS) for each in apis))
        measured = await asyncio.gather(*(run_round(each, seconds=ROUND_SECONDS) for each in apis))
    stores = sum(measured[0].cpu_seconds[each] for each in ("postgres", "redis", "rabbitmq"))
    return Figures(
        own_us={
            variant.name: each.cpu_seconds["api"] / each.rows * 1e6
            for variant, each in zip(variants, measured, strict=True)
        },
        stores_us=stores / sum(each.rows for each in measured) * 1e6,
    )


async def _measure_workers(
    servers: Servers, folder: Path, variants: Sequence[Variant], rounds: int
) -> Finding:
    places = []
    for number, variant in enumerate(variants):
        own, system = folder / f"workers-{number}", variant.system
        own.mkdir()
        addresses = Addresses(servers=servers, name=f"workers{number}", redis_database=0)
        await make_database(addresses, *system.schema)
        make_vhost(addresses, system.queue_arguments or None)
        publish_types(system, addresses, own)
        places.append(Place(system=system, addresses=addresses, folder=own))
    found = []
    for number in range(rounds):
        cells = await asyncio.gather(*(drain(each, tasks=DRAIN_TASKS) for each in places))
        faults = [fault for cell in cells for fault in cell.find_faults()]
        if faults:
            raise BenchError(faults[0])
        figures = Figures(
            own_us={
                variant.name: cell.cpu_us["worker"]
                for variant, cell in zip(variants, cells, strict=True)
            },
            # Each cell has what the stores spent on all of them.
            stores_us=sum(cells[0].cpu_us[each] for each in ("postgres", "rabbitmq")) / len(cells),
        )
        found.append(figures)
        _tell("workers", number, rounds, figures)
    return Finding(work="a task", rounds=found)


def _tell(process: str, number: int, rounds: int, figures: Figures) -> None:
    own = ", ".join(f"{name} {value:.0f} µs" for name, value in figures.own_us.items())
    say(f"{process} {number + 1} of {rounds}: {own}, stores {figures.stores_us:.0f} µs")
