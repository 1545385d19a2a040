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
from tests.bench.telemetry.reporting import Finding, build_report, find_faults
from tests.bench.telemetry.variants import Variant, build_variants
from tests.bench.wrk import BenchError

PROGRAMS = (*SERVERS, Program("wrk", "wrk"))
RESULTS = Path("tests/bench/results/telemetry.md")
ROUND_SECONDS = 3
DRAIN_TASKS = 8_000


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
    found: dict[str, list[float]] = {each.name: [] for each in variants}
    async with AsyncExitStack() as stack:
        apis = []
        for number, variant in enumerate(variants):
            own = folder / f"api-{number}"
            own.mkdir()
            addresses = Addresses(servers=servers, name=f"api{number}", redis_database=number)
            api = await stack.enter_async_context(
                running_api(
                    addresses, own, command=variant.api_command, environment=variant.environment
                )
            )
            await run_round(api, seconds=ROUND_SECONDS)
            apis.append(api)
        for number in range(rounds):
            for variant, api in zip(variants, apis, strict=True):
                measured = await run_round(api, seconds=ROUND_SECONDS)
                found[variant.name].append(measured.cpu_seconds["api"] / measured.rows * 1e6)
            _tell("API", number, rounds, found)
    return Finding(process="API, a submission", rounds=found)


async def _measure_workers(
    servers: Servers, folder: Path, variants: Sequence[Variant], rounds: int
) -> Finding:
    found: dict[str, list[float]] = {each.name: [] for each in variants}
    addresses = Addresses(servers=servers, name="workers", redis_database=0)
    system = variants[0].system
    await make_database(addresses, *system.schema)
    make_vhost(addresses, system.queue_arguments or None)
    publish_types(system, addresses, folder)
    for number in range(rounds):
        for variant in variants:
            place = Place(system=variant.system, addresses=addresses, folder=folder)
            cell = await drain(place, tasks=DRAIN_TASKS)
            if faults := cell.find_faults():
                raise BenchError(f"{variant.name}: {faults[0]}")
            found[variant.name].append(cell.cpu_us["worker"])
        _tell("workers", number, rounds, found)
    return Finding(process="workers, a task", rounds=found)


def _tell(process: str, number: int, rounds: int, found: dict[str, list[float]]) -> None:
    figures = ", ".join(f"{name} {values[-1]:.0f} µs" for name, values in found.items())
    say(f"{process} {number + 1} of {rounds}: {figures}")
