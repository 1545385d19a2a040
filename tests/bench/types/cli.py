"""``make bench-handlers``: each task type through the platform beside its library alone.

Before: ``make`` or a person starts it.
After: a report and a summary in ``tests/bench/results``; exit status 1 when the overhead of a task
over 0.1 s reaches 10 %.
"""

import argparse
import asyncio
import json
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
ROUND_SECONDS = 4.0
"""Of each side; short cases are repeated more often."""
MOST_CALLS = 200


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, report, judge; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.types", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="of each case; default 3")
    parser.add_argument("--cases", nargs="*", help="names; default all, and only then kept")
    options = parser.parse_args(arguments)
    cases = [each for each in list_cases() if not options.cases or each.name in options.cases]
    try:
        packages.install(SERVERS, Progress(LOGS.expanduser()), usual_seconds=30)
        with running_servers() as servers, tempfile.TemporaryDirectory() as folder:
            findings = asyncio.run(_measure(servers, Path(folder), cases, rounds=options.rounds))
    except ToolError as error:
        warn(explain(error))
        return 1
    except (BenchError, ServiceError) as error:
        warn(f"bench-handlers: {error}")
        return 1
    say(build_report(findings))
    if not options.cases:
        _keep(findings)
    faults = find_faults(findings)
    for fault in faults:
        warn(f"bench-handlers: {fault}")
    return 1 if faults else 0


def _keep(findings: Sequence[Finding]) -> None:
    (RESULTS / "handlers.md").write_text(build_report(findings), encoding="utf-8")
    summary = {each.name: each.to_json() for each in findings}
    (RESULTS / "handlers.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")


async def _measure(
    servers: Servers, folder: Path, cases: Sequence[Case], *, rounds: int
) -> list[Finding]:
    async with platform(servers, folder) as bench:
        return [await _measure_case(bench, case, rounds=rounds) for case in cases]


async def _measure_case(bench: Bench, case: Case, *, rounds: int) -> Finding:
    once = await _call_directly(case, 1)
    count = max(3, min(MOST_CALLS, round(ROUND_SECONDS / once)))
    alone, as_tasks = [], []
    for number in range(rounds):
        alone.append(await _call_directly(case, count))
        as_tasks.append(await measure(bench, case, count=count))
        say(
            f"{case.name} {number + 1} of {rounds}: alone {alone[-1] * 1000:.1f} ms,"
            f" as tasks {as_tasks[-1] * 1000:.1f} ms"
        )
    return Finding(
        name=case.name,
        task_type=case.task_type,
        says=case.says,
        alone=alone,
        as_tasks=as_tasks,
    )


async def _call_directly(case: Case, count: int) -> float:
    """Return the median seconds of a call in a process of its own."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.bench.types.directly", case.name, str(count)),
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    if process.returncode:
        raise BenchError(f"{case.name}: the handler failed when it was called directly")
    seconds: list[float] = json.loads(output)
    return statistics.median(seconds)
