"""``make bench``: our engine beside Celery, Dramatiq, Taskiq and a textbook consumer.

Systems alternate within a repetition, because the machine's speed changes while they run.

Before: ``make`` or a person starts it.
After: a report, a chart and a summary in ``tests/bench/results``; exit status 1 when a task was
lost or nothing could be measured.
"""

import argparse
import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path

from hack.services import LOGS, SERVERS
from hack.tooling import packages
from hack.tooling.errors import ToolError, explain
from hack.tooling.packages import Program
from hack.tooling.steps import Progress
from services import ServiceError
from tests.bench.engine.running import Options, profile, run
from tests.bench.engine.saying import say, warn
from tests.bench.engine.systems import SYSTEMS
from tests.bench.stores import running_servers
from tests.bench.wrk import BenchError

SCENARIOS = ("roofline", "drain", "steady", "latency", "http")
PROGRAMS = (*SERVERS, Program("wrk", "wrk"))
RESULTS = Path("tests/bench/results")
PARTIAL_RESULTS = Path(".cache/bench")
"""What a run of some systems or scenarios finds must not replace the whole."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and report.

    Returns:
        The exit status.
    """
    options = parse(arguments)
    try:
        packages.install(PROGRAMS, Progress(LOGS.expanduser()), usual_seconds=30)
        with running_servers() as servers, tempfile.TemporaryDirectory() as folder:
            if options.profile:
                say(asyncio.run(profile(servers, Path(folder), tasks=options.tasks or 10_000)))
                return 0
            faults = asyncio.run(run(servers, Path(folder), options))
    except ToolError as error:
        warn(explain(error))
        return 1
    except (BenchError, ServiceError) as error:
        warn(f"bench: {error}")
        return 1
    for fault in faults:
        warn(f"bench: {fault}")
    return 1 if faults else 0


def parse(arguments: Sequence[str] | None) -> Options:
    """Return what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.engine", description=__doc__)
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=list(SYSTEMS))
    parser.add_argument("--scenarios", nargs="+", choices=SCENARIOS, default=list(SCENARIOS))
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--tasks", type=int, help="of a burn-down; default 2,000 to 10,000")
    parser.add_argument("--profile", action="store_true", help="only say what our worker computes")
    parser.add_argument("--results", type=Path, help="folder for what is written")
    options = parser.parse_args(arguments)
    if options.results is None:
        is_whole = set(options.systems) == set(SYSTEMS) and set(options.scenarios) == set(SCENARIOS)
        options.results = RESULTS if is_whole else PARTIAL_RESULTS
    return Options(**vars(options))
