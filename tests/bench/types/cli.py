"""``make bench-handlers``: each task type through the platform beside its library alone.

Before: ``make`` or a person starts it.
After: a report and a summary in ``tests/bench/results``; exit status 1 when the overhead of a task
over 0.1 s reaches 10 %.
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from hack.services import LOGS, SERVERS
from hack.tooling import packages
from hack.tooling.errors import ToolError, explain
from hack.tooling.steps import Progress
from services import ServiceError
from tests.bench.engine.saying import say, warn
from tests.bench.stores import Servers, running_servers
from tests.bench.types.cases import Case, list_cases
from tests.bench.types.reporting import Finding, build_report, find_faults
from tests.bench.types.through import measure, platform
from tests.bench.wrk import BenchError
from worker_bench import Bench

RESULTS = Path("tests/bench/results")
ROUND_SECONDS = 2.5
"""Of each side; short cases are repeated more often."""
LEAST_CALLS, MOST_CALLS = 10, 200
SLOTS_PER_PROCESS = 2
"""While one task is claimed, supplied and settled, another one works: as in any real worker."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, report, judge; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.types", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="of each case; default 7")
    parser.add_argument("--cases", nargs="*", help="names; default all, and only then kept")
    parser.add_argument(
        "--processes", type=int, default=os.cpu_count(), help="of the work alone; default all cores"
    )
    options = parser.parse_args(arguments)
    cases = [each for each in list_cases() if not options.cases or each.name in options.cases]
    try:
        packages.install(SERVERS, Progress(LOGS.expanduser()), usual_seconds=30)
        with running_servers() as servers, tempfile.TemporaryDirectory() as folder:
            findings = asyncio.run(
                _measure(
                    servers,
                    Path(folder),
                    cases,
                    rounds=options.rounds,
                    processes=options.processes,
                )
            )
    except ToolError as error:
        warn(explain(error))
        return 1
    except (BenchError, ServiceError) as error:
        warn(f"bench-handlers: {error}")
        return 1
    report = build_report(findings, processes=options.processes)
    say(report)
    if not options.cases and options.processes == os.cpu_count():
        _keep(findings, report)
    faults = find_faults(findings)
    for fault in faults:
        warn(f"bench-handlers: {fault}")
    return 1 if faults else 0


def _keep(findings: Sequence[Finding], report: str) -> None:
    (RESULTS / "handlers.md").write_text(report, encoding="utf-8")
    summary = {each.name: each.to_json() for each in findings}
    (RESULTS / "handlers.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")


async def _measure(
    servers: Servers, folder: Path, cases: Sequence[Case], *, rounds: int, processes: int
) -> list[Finding]:
    async with platform(servers, folder, slots=SLOTS_PER_PROCESS * processes) as bench:
        return [
            await _measure_case(bench, case, rounds=rounds, processes=processes) for case in cases
        ]


async def _measure_case(bench: Bench, case: Case, *, rounds: int, processes: int) -> Finding:
    [once] = await _call_directly(case, 1, processes=1)
    calls = max(LEAST_CALLS, min(MOST_CALLS, round(ROUND_SECONDS / once)))
    alone, as_tasks = [], []
    for number in range(rounds):
        seconds = await _call_directly(case, calls, processes=processes)
        alone.append(sum(1 / each for each in seconds))
        as_tasks.append(await measure(bench, case, count=calls * processes))
        say(
            f"{case.name} {number + 1} of {rounds}: alone {alone[-1]:.2f} a second,"
            f" as tasks {as_tasks[-1]:.2f} a second"
        )
    return Finding(
        name=case.name,
        task_type=case.task_type,
        says=case.says,
        input_bytes=0 if case.file is None else case.file.stat().st_size,
        processes=processes,
        alone=alone,
        as_tasks=as_tasks,
    )


async def _call_directly(case: Case, count: int, *, processes: int) -> list[float]:
    """Return the median seconds of a call in each of some processes at once."""
    return await asyncio.gather(*(_call_in_process(case, count) for _ in range(processes)))


async def _call_in_process(case: Case, count: int) -> float:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.bench.types.directly", case.name, str(count)),
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    if process.returncode:
        raise BenchError(f"{case.name}: the handler failed when it was called directly")
    seconds: list[float] = json.loads(output)
    return statistics.median(seconds)
