"""``make bench-api``: our API against a textbook service, submit by submit.

Rounds of both alternate, because the machine's speed changes while they run. Two rounds that
are not counted warm both up.

Before: ``make`` or a person starts it.
After: a table, a JSON file, and exit status 1 when the promise is broken.
"""

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TextIO

from hack.services import LOGS, SERVERS
from hack.tooling import packages
from hack.tooling.errors import ToolError, explain
from hack.tooling.packages import Program
from hack.tooling.steps import Progress
from services import ServiceError
from tests.bench.comparing import Comparison, build_table, compare
from tests.bench.contenders import running_api, running_textbook
from tests.bench.profiles import build_profile_table
from tests.bench.rounds import run_round
from tests.bench.stores import Addresses, Servers, running_servers
from tests.bench.wrk import BenchError

PROGRAMS = (*SERVERS, Program("wrk", "wrk"))
DEFAULT_REPORT = Path(".cache/bench-api.json")
WARM_UP_SECONDS = 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, report, judge.

    Returns:
        The exit status: 0 good enough, 1 not, or not measurable.
    """
    options = _build_parser().parse_args(arguments)
    try:
        packages.install(PROGRAMS, Progress(LOGS.expanduser()), usual_seconds=30)
        with running_servers() as servers, tempfile.TemporaryDirectory() as folder:
            if options.profile:
                _say(asyncio.run(_profile(servers, Path(folder), seconds=options.seconds)))
                return 0
            comparison = asyncio.run(
                _measure(servers, Path(folder), rounds=options.rounds, seconds=options.seconds)
            )
    except ToolError as error:
        _say(explain(error), sys.stderr)
        return 1
    except (BenchError, ServiceError) as error:
        _say(f"bench-api: {error}", sys.stderr)
        return 1
    options.report.parent.mkdir(parents=True, exist_ok=True)
    options.report.write_text(json.dumps(comparison.to_json(), indent=2) + "\n")
    _say(f"{build_table(comparison)}\n(also in {options.report})")
    faults = comparison.find_faults()
    for fault in faults:
        _say(f"bench-api: {fault}", sys.stderr)
    return 1 if faults else 0


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=8, help="of each side; default 8")
    parser.add_argument("--seconds", type=int, default=4, help="of each round; default 4")
    parser.add_argument("--report", type=Path, default=DEFAULT_REPORT, help="the JSON file")
    parser.add_argument(
        "--profile", action="store_true", help="only say where our process spends its time"
    )
    return parser


async def _measure(servers: Servers, folder: Path, *, rounds: int, seconds: int) -> Comparison:
    async with AsyncExitStack() as stack:
        ours = await stack.enter_async_context(
            running_api(Addresses(servers=servers, name="ours", redis_database=0), folder)
        )
        textbook = await stack.enter_async_context(
            running_textbook(Addresses(servers=servers, name="textbook", redis_database=1), folder)
        )
        for contender in (ours, textbook):
            await run_round(contender, seconds=WARM_UP_SECONDS)
        mine, theirs = [], []
        for number in range(rounds):
            mine.append(await run_round(ours, seconds=seconds))
            theirs.append(await run_round(textbook, seconds=seconds))
            _say(
                f"round {number + 1} of {rounds}: ours {mine[-1].created_per_second:.0f}/s,"
                f" textbook {theirs[-1].created_per_second:.0f}/s"
            )
    return compare(mine, theirs)


async def _profile(servers: Servers, folder: Path, *, seconds: int) -> str:
    samples = folder / "profile.json"
    addresses = Addresses(servers=servers, name="ours", redis_database=0)
    async with running_api(addresses, folder, profile=samples) as ours:
        await run_round(ours, seconds=WARM_UP_SECONDS)
        measured = await run_round(ours, seconds=seconds)
    # The process writes its samples when it ends.
    rate = f"{measured.created_per_second:.0f} 201/s under the profiler"
    return f"{build_profile_table(json.loads(samples.read_text()))}\n{rate}"


def _say(text: str, stream: TextIO = sys.stdout) -> None:
    print(text, file=stream, flush=True)
