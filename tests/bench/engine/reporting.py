"""The report for people, as Markdown. Pure.

Before: ``summarizing`` has the figures, ``promises`` the verdicts.
After: ``running`` writes it to ``report.md``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.engine.figures import Roofline, Spread
from tests.bench.engine.promises import judge
from tests.bench.engine.summarizing import Findings

_CONTRACT = """\
One machine, one run, systems in turn within each repetition; medians (lowest to highest).
Every system keeps the same promise: the row is committed before its message is published; the
message is persistent, confirmed and in a quorum queue; the row becomes PROCESSING, then COMPLETED
with a result of 256 bytes; only then is the message acknowledged (ours: once the lease on its row
is committed, after which the row itself makes it run again). Postgres waits for the disk
(`fsync`, `synchronous_commit` and `full_page_writes` are on, read from the server). Two worker
processes: 100 tasks in flight each where tasks run on an event loop; 8 threads each for Dramatiq,
8 child processes for Celery. A cell in which a task is lost, has a wrong result or leaves a
message counts as failed."""


_TRIED = Path(__file__).parent / "tried.md"


@dataclass(frozen=True, slots=True)
class Machine:
    """Where it ran."""

    description: str
    load_before: float
    """Of the last minute before the start; above 0.5 somebody else was computing."""
    steal_percent: float


def build_report(findings: Findings, machine: Machine, faults: Sequence[str]) -> str:
    """Return the whole report."""
    sections = ["# The engine beside its peers", f"{_CONTRACT}\n\n{_describe(machine)}"]
    if verdicts := judge(findings):
        sections.append("## Promises\n\n" + _build_list(verdicts))
    sections.append(
        "## Lost tasks, results and messages\n\n" + _build_list(faults or ["none, in no cell"])
    )
    if findings.roofline is not None:
        sections.append(_build_roofline(findings.roofline))
    sections += _build_rates(findings)
    if latency := findings.list_systems("latency"):
        sections.append(_build_latency(findings, latency))
    if http := findings.http():
        sections.append(
            "## HTTP submit\n\n"
            "201 answers per second, wrk with 64 connections, one service process, a signed token"
            " and a rate limit in Redis for every request.\n\n"
            + _build_table(["system", "201/s"], [[name, _show(http[name])] for name in http])
        )
    sections += _explain(findings)
    return "\n\n".join(sections) + "\n"


def _explain(findings: Findings) -> list[str]:
    """Return where our own time goes, and what has been tried to make it less."""
    sections = []
    if stations := findings.stations():
        sections.append(
            "## Where our latency goes\n\n"
            "Medians of one task's way, by the times that its events carry. An event is written"
            " while its statement runs, so each leg holds the commit of the one before.\n\n"
            + _build_table(["leg", "ms"], [[leg, f"{ms:.2f}"] for leg, ms in stations.items()])
        )
    if findings.worker_profile:
        sections.append(f"## Where our worker's time goes\n\n```\n{findings.worker_profile}\n```")
    if sections:
        sections.append(_TRIED.read_text(encoding="utf-8").strip())
    return sections


def _describe(machine: Machine) -> str:
    return (
        f"Machine: {machine.description}. Load before the start: {machine.load_before:.1f}; CPU"
        f" stolen by the host meanwhile: {machine.steal_percent:.1f} %. A load above 0.5 means that"
        " other work ran beside the benchmark: rates are too low then, and CPU times per task are"
        " the figures to trust."
    )


def _build_roofline(roofline: Roofline) -> str:
    rows = [[name, f"{value:.0f}"] for name, value in roofline.cpu_us.items()]
    return (
        "## Roofline\n\n"
        "What the servers and the thinnest possible client need to take a message, claim its task"
        " and settle it, with our own statements in batches of 100. Cores divided by the sum is"
        f" the bound: **{roofline.per_second:.0f} tasks/s** on {roofline.cores} cores, the"
        " higher of two measurements, before all else and after it. One"
        f" fdatasync of this disk takes {roofline.fsync_us:.0f} µs.\n\n"
        + _build_table(["component", "CPU µs per task"], rows)
    )


def _build_rates(findings: Findings) -> list[str]:
    explained = {
        "drain": (
            "## Burn-down\n\nThe queue is filled while the workers, warm, are frozen; then they"
            " go. Tasks per second between 5 % and 100 % completed, by the rows' own times."
        ),
        "steady": (
            "## Steady\n\nProducers (64 clients) and workers at the same time; producers pause"
            " while more than 500 messages wait. Completed tasks per second."
        ),
    }
    return [
        f"{explained[scenario]}\n\n{_build_rate_table(findings, scenario)}"
        for scenario in explained
        if findings.list_systems(scenario)
    ]


def _build_rate_table(findings: Findings, scenario: str) -> str:
    rates = findings.rates(scenario)
    cpu = {name: findings.cpu_us(scenario, name) for name in rates}
    components = list(next(iter(cpu.values())))
    bound = findings.roofline.per_second if findings.roofline and scenario == "drain" else None
    header = ["system", "tasks/s", *(["of the roofline"] if bound else [])]
    header += [f"CPU µs {name}" for name in components] + ["CPU µs together"]
    rows = [
        [
            _label(findings, scenario, name),
            _show(rates[name]),
            *([f"{rates[name].median / bound:.0%}"] if bound else []),
            *_show_cpu(cpu[name]),
        ]
        for name in rates
    ]
    return _build_table(header, rows)


def _label(findings: Findings, scenario: str, system: str) -> str:
    has_failed = any(cell.find_faults() for cell in findings.cells_of(scenario, system))
    return f"{system} (**failed**)" if has_failed else system


def _show_cpu(cpu: Mapping[str, float]) -> list[str]:
    return [*(f"{value:.0f}" for value in cpu.values()), f"{sum(cpu.values()):.0f}"]


def _build_latency(findings: Findings, systems: Sequence[str]) -> str:
    p50, p99 = findings.latencies(50), findings.latencies(99)
    rows = [
        [_label(findings, "latency", name), _show(p50[name], 1), _show(p99[name], 1)]
        for name in systems
    ]
    return (
        "## Latency\n\nOne task at a time, from the call of submit to a COMPLETED row, which is"
        " asked for again and again by its primary key.\n\n"
        + _build_table(["system", "p50 ms", "p99 ms"], rows)
    )


def _show(spread: Spread, digits: int = 0) -> str:
    return f"{spread.median:.{digits}f} ({spread.lowest:.{digits}f} to {spread.highest:.{digits}f})"


def _build_list(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _build_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
