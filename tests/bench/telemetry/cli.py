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
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import mean

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
from tests.bench.engine.systems import OURS
from tests.bench.engine.workers import publish_types
from tests.bench.rounds import run_round
from tests.bench.stores import Addresses, Servers, make_database, make_vhost, running_servers
from tests.bench.telemetry.promises import PROMISES, Promise
from tests.bench.telemetry.reporting import Finding, build_report, find_faults
from tests.bench.telemetry.slices import read_blocks
from tests.bench.telemetry.switching import to_environment
from tests.bench.wrk import BenchError

PROGRAMS = (*SERVERS, Program("wrk", "wrk"))
RESULTS = Path("tests/bench/results/telemetry.md")
API = (
    *(sys.executable, "-m", "gunicorn", "-c", "python:orchestrator_api.gunicorn_config"),
    "tests.bench.telemetry.switching_api:app",
)
WORKER = ("-m", "tests.bench.telemetry.switching_worker")
ROUNDS, ROUND_SECONDS = 14, 8
"""Short ones: what nobody consumes is rung again after a while, and a round counts messages."""
DRAINS, DRAIN_TASKS = 2, 120_000
"""The workers are frozen while so many are submitted: RabbitMQ waits half a minute for them."""
MIN_BLOCKS = 20
COLLECTOR_VARIABLE = "OTEL_EXPORTER_OTLP_ENDPOINT"
STORES = ("postgres", "redis", "rabbitmq")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, report, judge; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.telemetry", description=__doc__)
    parser.parse_args(arguments)
    try:
        packages.install(PROGRAMS, Progress(LOGS.expanduser()), usual_seconds=30)
        with (
            running_servers() as servers,
            collecting() as collector,
            tempfile.TemporaryDirectory() as folder,
        ):
            found = {
                promise: [
                    asyncio.run(measure(servers, Path(folder), collector, promise))
                    for measure in (_measure_api, _measure_workers)
                ]
                for promise in PROMISES
            }
    except ToolError as error:
        warn(explain(error))
        return 1
    except (BenchError, ServiceError) as error:
        warn(f"bench-telemetry: {error}")
        return 1
    report = build_report(found)
    RESULTS.write_text(report, encoding="utf-8")
    say(report)
    faults = find_faults(found)
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


async def _measure_api(servers: Servers, folder: Path, collector: str, promise: Promise) -> Finding:
    name = f"api_{PROMISES.index(promise)}"
    own = _make_own(folder, name)
    addresses = Addresses(servers=servers, name=name, redis_database=0)
    environment = {COLLECTOR_VARIABLE: collector, **to_environment(promise, own)}
    async with running_api(addresses, own, command=API, environment=environment) as api:
        rounds = []
        for number in range(ROUNDS):
            say(f"{promise.variant}, API {number + 1} of {ROUNDS}: {ROUND_SECONDS} s")
            rounds.append(await run_round(api, seconds=ROUND_SECONDS))
    stores = sum(each.cpu_seconds[name] for each in rounds for name in STORES)
    stores_us = stores / sum(each.rows for each in rounds) * 1e6
    return _find("a submission", own, promise, stores_us=stores_us)


async def _measure_workers(
    servers: Servers, folder: Path, collector: str, promise: Promise
) -> Finding:
    name = f"workers_{PROMISES.index(promise)}"
    own = _make_own(folder, name)
    system = replace(
        OURS,
        environment={COLLECTOR_VARIABLE: collector, **to_environment(promise, own)},
        commands=[WORKER] * len(OURS.commands),
    )
    addresses = Addresses(servers=servers, name=name, redis_database=0)
    await make_database(addresses, *system.schema)
    make_vhost(addresses, system.queue_arguments or None)
    publish_types(OURS, addresses, own)
    place = Place(system=system, addresses=addresses, folder=own)
    stores_us = []
    for number in range(DRAINS):
        say(f"{promise.variant}, workers {number + 1} of {DRAINS}: {DRAIN_TASKS} tasks")
        cell = await drain(place, tasks=DRAIN_TASKS)
        if faults := cell.find_faults():
            raise BenchError(faults[0])
        stores_us.append(sum(cell.cpu_us[each] for each in ("postgres", "rabbitmq")))
    return _find("a task", own, promise, stores_us=mean(stores_us))


def _make_own(folder: Path, name: str) -> Path:
    own = folder / name
    own.mkdir()
    return own


def _find(work: str, folder: Path, promise: Promise, *, stores_us: float) -> Finding:
    blocks = read_blocks(folder, promise)
    if len(blocks) < MIN_BLOCKS:
        raise BenchError(f"{work}: {len(blocks)} busy blocks, wanted {MIN_BLOCKS}; see {folder}")
    return Finding(work=work, blocks=blocks, stores_us=stores_us)
