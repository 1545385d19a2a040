import json
from pathlib import Path

from tests.bench.engine.figures import Cell, Roofline
from tests.bench.engine.promises import judge
from tests.bench.engine.reporting import Machine, build_report
from tests.bench.engine.summarizing import Findings, build_summary

MACHINE = Machine(description="2 cores", load_before=0.1, steal_percent=0.0)
ROOFLINE = Roofline(cores=2, cpu_us={"postgres": 150.0, "rabbitmq": 50.0}, fsync_us=700.0)


def a_drain(system: str, per_second: float, *, completed: int = 10) -> Cell:
    return Cell(
        system=system,
        scenario="drain",
        submitted=10,
        completed=completed,
        per_second=per_second,
        cpu_us={"worker": 100.0, "postgres": 200.0},
    )


def a_latency(system: str, *latencies_ms: float) -> Cell:
    return Cell(
        system=system, scenario="latency", submitted=2, completed=2, latencies_ms=latencies_ms
    )


def test_the_summary_has_exactly_the_promised_keys_with_medians() -> None:
    findings = Findings(
        cells=[
            *(a_drain("ours", rate) for rate in (5000, 7000, 6000)),
            a_drain("celery", 500, completed=9),
            a_latency("ours", 3.0, 4.0),
        ],
        roofline=ROOFLINE,
        http_rates={"ours": [2000.0, 2200.0]},
    )

    summary = build_summary(findings)

    assert summary == {
        "drain_per_s": {"ours": 6000, "celery": 500},
        "submit_http_per_s": {"ours": 2100.0},
        "latency_ms": {"ours": {"p50": 3.0, "p99": 4.0}},
        "roofline_per_s": 10_000.0,
        "lost": {"ours": 0, "celery": 1},
    }


def test_a_partial_run_can_be_summarized_and_reported() -> None:
    nothing = Findings(cells=[])

    assert json.dumps(build_summary(nothing))
    assert build_report(nothing, MACHINE, []).startswith("# ")


def test_a_promise_is_kept_or_missed_and_said_by_how_much() -> None:
    findings = Findings(
        cells=[
            a_drain("ours", 6000),
            a_drain("taskiq", 2500),
            a_drain("celery", 2000),
            a_latency("ours", 3.0, 9.0),
            a_latency("taskiq", 4.0, 5.0),
        ],
        roofline=ROOFLINE,
    )

    assert judge(findings) == [
        "2.40 times the burn-down of the best peer (taskiq), promised 2 times: kept",
        "3.00 times the burn-down of Celery, promised 5 times: **missed**",
        "submit to COMPLETED, p50: 3.0 ms beside 4.0 ms of the best peer (taskiq): kept",
        "submit to COMPLETED, p99: 9.0 ms beside 5.0 ms of the best peer (taskiq): **missed**",
        "60% of the roofline of 10000/s, promised 50%: kept",
    ]


def test_nothing_is_judged_that_was_not_measured() -> None:
    assert judge(Findings(cells=[a_drain("ours", 6000)])) == []


def test_the_report_shows_each_rate_with_its_range_and_cpu_time() -> None:
    findings = Findings(
        cells=[a_drain("ours", rate) for rate in (5000, 7000, 6000)], roofline=ROOFLINE
    )

    report = build_report(findings, MACHINE, [])

    assert "| ours | 6000 (5000 to 7000) | 60% | 100 | 200 | 300 |" in report
    assert "none, in no cell" in report


def test_a_system_that_lost_a_task_is_shown_as_failed() -> None:
    report = build_report(Findings(cells=[a_drain("celery", 500, completed=9)]), MACHINE, [])

    assert "| celery (**failed**) | 500 (500 to 500) |" in report


def test_the_report_shows_faults() -> None:
    report = build_report(Findings(cells=[]), MACHINE, ["celery drain: 1 messages left"])

    assert "- celery drain: 1 messages left" in report


def test_the_report_names_no_path_of_the_machine() -> None:
    findings = Findings(cells=[a_drain("ours", 6000)], roofline=ROOFLINE)

    assert str(Path.cwd()) not in build_report(findings, MACHINE, [])
