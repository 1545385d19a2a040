"""``make bench-scaling``: this project's scaling law beside KEDA's and the HPA's rules, in a model.

Before: ``make`` or a person starts it, and knows how long a worker pod takes to start.
After: a report, its figures and a chart in ``tests/bench/results``; exit status 1 when tasks wait
longer than under a tuned KEDA, or a task was killed.
"""

import argparse
import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from operator_testing.scenarios import RULES, SCENARIOS, SEED
from operator_testing.simulated_pool import Look, Result, simulate
from tests.bench.engine.saying import say, warn
from tests.bench.engine.systems import PEER_PYTHON, ROOT

RESULTS = Path("tests/bench/results")
OURS, TUNED = "this law", "KEDA, value 4"
CHART_SECONDS = 120
LOOKS_IN_THE_CHART = 600

HEAD = """# Scaling: this project's law beside KEDA and the HorizontalPodAutoscaler

A model with the same arrivals and service times for each rule, from zero workers of four slots, at
most 40; a pod takes {boot_seconds} s from its creation to readiness, as measured on the cluster.
KEDA's rules as documented: it polls every 30 s, the HPA looks every 15 s, adds four pods or doubles
them, takes none away within 300 s, and does not know which of them work; a pod that is told to go
has 30 s. `value` is messages a worker: 20 is the usual example, 4 fits these workers' slots.
Waiting is from arrival to claim. `make bench-scaling` makes this anew.

![workers and waiting tasks](scaling.svg)

| load | rule | wait p50, s | p99, s | pod-hours | killed tasks | changes | most workers |
| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One load under one rule."""

    load: str
    rule: str
    result: Result
    looks: Sequence[Look]


def main(arguments: Sequence[str] | None = None) -> int:
    """Simulate, report, judge; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.scaling", description=__doc__)
    parser.add_argument(
        "--pod-start-seconds", type=int, default=3, help="creation to readiness; default 3"
    )
    options = parser.parse_args(arguments)
    runs = [
        _run(load, rule, boot_seconds=options.pod_start_seconds)
        for load in SCENARIOS
        for rule in RULES
    ]
    report = build_report(runs, boot_seconds=options.pod_start_seconds)
    say(report)
    _keep(runs, report)
    faults = find_faults(runs)
    for fault in faults:
        warn(f"bench-scaling: {fault}")
    return 1 if faults else 0


def build_report(runs: Sequence[Run], *, boot_seconds: int) -> str:
    """Return the Markdown."""
    return HEAD.format(boot_seconds=boot_seconds) + "".join(map(_build_row, runs))


def find_faults(runs: Sequence[Run]) -> list[str]:
    """Return what is worse than promised: a task waits or is killed that need not be."""
    tuned = {run.load: run.result for run in runs if run.rule == TUNED}
    ours = {run.load: run.result for run in runs if run.rule == OURS}
    slow = [
        f"{load}: p99 of {ours[load].wait_p99_seconds:g} s, under KEDA {other.wait_p99_seconds:g} s"
        for load, other in tuned.items()
        if ours[load].wait_p99_seconds > other.wait_p99_seconds
    ]
    killed = [f"{load}: {each.killed_tasks} tasks killed" for load, each in ours.items()]
    return slow + [told for told in killed if ": 0 tasks" not in told]


def _run(load: str, rule: str, *, boot_seconds: int) -> Run:
    looks: list[Look] = []
    result = simulate(
        SCENARIOS[load], RULES[rule](), seed=SEED, boot_seconds=boot_seconds, looks=looks
    )
    return Run(load=load, rule=rule, result=result, looks=looks)


def _build_row(run: Run) -> str:
    each = run.result
    return (
        f"| {run.load} | {run.rule} | {each.wait_p50_seconds:g} | {each.wait_p99_seconds:g}"
        f" | {each.pod_hours:.2f} | {each.killed_tasks} | {each.changes} | {each.peak_replicas} |\n"
    )


def _keep(runs: Sequence[Run], report: str) -> None:
    (RESULTS / "scaling.md").write_text(report, encoding="utf-8")
    figures: dict[str, dict[str, Any]] = {}
    for run in runs:
        figures.setdefault(run.load, {})[run.rule] = asdict(run.result)
    (RESULTS / "scaling.json").write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    # Drawn in the peers' venv, which has the library for it.
    subprocess.run(
        [PEER_PYTHON, "-m", "tests.bench.scaling.charting", RESULTS / "scaling.svg"],
        cwd=ROOT,
        check=True,
        input=json.dumps([_to_lines(run) for run in runs]),
        text=True,
        timeout=CHART_SECONDS,
    )


def _to_lines(run: Run) -> Mapping[str, Any]:
    """Return what the chart shows of a run, not more points than it has room for."""
    step = max(1, len(run.looks) // LOOKS_IN_THE_CHART)
    shown = [*enumerate(run.looks)][::step]
    return {
        "load": run.load,
        "rule": run.rule,
        "seconds": [second for second, _ in shown],
        "workers": [look.workers for _, look in shown],
        "waiting_tasks": [look.waiting_tasks for _, look in shown],
    }
