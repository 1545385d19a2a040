"""Each alert: fires by the series of its fault, says so, and ends with the fault.

promtool plays the series to the rules as they are committed.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from hack.monitoring.alerts import ALERTS, RUNBOOK
from hack.monitoring.writing import CHART, RULES
from orchestrator_operator.crd import build_crd
from promtool import promtool

COMMITTED = CHART / RULES
AUTOSCALER = 'namespace="team", name="demo", pod="operator-1"'
POD = 'namespace="team", app_kubernetes_io_instance="demo", pod="demo-1"'
PROMISED = {f"orchestrator_autoscaler_target_latency_seconds{{{AUTOSCALER}}}": "10x120"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What Prometheus sees of a fault, minute by minute, and what it should say when."""

    series: Mapping[str, str]
    """As promtool writes them: a selector and its values, one a minute."""
    quiet_at: str
    """Not yet: the fault is too young."""
    fires_at: str
    ended_at: str
    summary: str
    labels: Mapping[str, str] = field(default_factory=lambda: {"namespace": "team", "name": "demo"})


def an_autoscaler(name: str, values: str, **others: str) -> dict[str, str]:
    return {
        f"orchestrator_autoscaler_{series}{{{AUTOSCALER}}}": each
        for series, each in {name: values, **others}.items()
    }


def waits(slow: str, fast: str) -> dict[str, str]:
    """Return a histogram of waits: how many were up to 5 s, and how many up to 300 s."""
    bucket = "orchestrator_worker_task_wait_seconds_bucket"
    labels = f'{POD}, task_type="any"'
    return {
        f'{bucket}{{{labels}, le="5"}}': fast,
        f'{bucket}{{{labels}, le="300"}}': slow,
        f'{bucket}{{{labels}, le="+Inf"}}': slow,
    }


def a_queue(name: str, queue: str, values: str) -> dict[str, str]:
    return {f'rabbitmq_detailed_queue_{name}{{{POD}, queue="{queue}", vhost="/"}}': values}


FAULTS = {
    "OrchestratorTasksWait": Fault(
        series={**an_autoscaler("oldest_ready_age_seconds", "0x4 40+60x15 0x40"), **PROMISED},
        quiet_at="12m",
        fires_at="16m",
        ended_at="25m",
        summary="The oldest task of team/demo has waited for more than 6m 40s.",
    ),
    "OrchestratorTasksStartLate": Fault(
        series={**waits(slow="0+100x60 6000+100x60", fast="0+90x30 2790+100x90"), **PROMISED},
        quiet_at="8m",
        fires_at="25m",
        ended_at="55m",
        summary="5 % of the tasks of team/demo start after 2m 32s.",
    ),
    "OrchestratorTasksStuck": Fault(
        series=an_autoscaler("stuck_tasks", "0x2 7x10 0x10"),
        quiet_at="5m",
        fires_at="7m",
        ended_at="16m",
        summary="7 tasks of team/demo are stuck.",
    ),
    "OrchestratorNoConsumers": Fault(
        series={
            **an_autoscaler(
                "ready_tasks", "0x2 5x20", ready_replicas="1x30", in_flight_tasks="0x30"
            ),
            **a_queue("consumers", "task.created", "1x2 0x10 1x20"),
        },
        quiet_at="4m",
        fires_at="7m",
        ended_at="16m",
        summary="5 tasks of team/demo wait, and no worker takes them.",
    ),
    "OrchestratorDeadLetters": Fault(
        series=a_queue("messages", "task.dead", "0x2 3x10 0x10"),
        quiet_at="3m",
        fires_at="6m",
        ended_at="16m",
        summary="3 messages of team/demo could not be used by any worker.",
    ),
    "OrchestratorApiErrors": Fault(
        series={
            f'orchestrator_api_requests_total{{{POD}, route="/api/v1/tasks", status="503"}}': (
                "0x5 0+60x20 1200x30"
            ),
            f'orchestrator_api_requests_total{{{POD}, route="/api/v1/tasks", status="201"}}': (
                "0+540x60"
            ),
            # The kubelet's own questions are no requests of clients.
            f'orchestrator_api_requests_total{{{POD}, route="/readyz", status="503"}}': "0+900x60",
        },
        quiet_at="10m",
        fires_at="20m",
        ended_at="40m",
        summary="10% of the requests to team/demo fail.",
    ),
    "OrchestratorStoreDown": Fault(
        series={
            f'orchestrator_store_up{{{POD}, store="redis"}}': "1x2 0x10 1x10",
            f'orchestrator_store_up{{{POD}, store="postgres"}}': "1x30",
            # A worker that starts, or one alone that is cut off, is no store that is down.
            f'orchestrator_store_up{{{POD}, store="rabbitmq", container="worker"}}': "0x30",
            f'orchestrator_store_up{{{POD}, store="rabbitmq", container="api"}}': "1x30",
        },
        quiet_at="3m",
        fires_at="6m",
        ended_at="16m",
        summary="No process of team/demo reaches redis.",
        labels={"namespace": "team", "name": "demo", "store": "redis"},
    ),
    "OrchestratorScalingLimited": Fault(
        series=an_autoscaler("limited", "0x2 1x60 0x10"),
        quiet_at="30m",
        fires_at="40m",
        ended_at="66m",
        summary="The load of team/demo asks for more workers than are allowed.",
    ),
    "OrchestratorScalingHeld": Fault(
        series=an_autoscaler("faulty", "0x2 1x20 0x10"),
        quiet_at="6m",
        fires_at="10m",
        ended_at="26m",
        summary="The number of workers of team/demo is held.",
    ),
    "OrchestratorWorkersFail": Fault(
        series=an_autoscaler("failing_replicas", "0x2 2x20 0x10"),
        quiet_at="10m",
        fires_at="14m",
        ended_at="26m",
        summary="2 workers of team/demo crash or can't start.",
    ),
    "OrchestratorReconcileFails": Fault(
        series={
            'orchestrator_operator_passes_total{namespace="system", verdict="failed"}': (
                "0x5 0+1x25 25x60"
            ),
            'orchestrator_operator_passes_total{namespace="system", verdict="done"}': "0+2x90",
        },
        quiet_at="8m",
        fires_at="20m",
        ended_at="50m",
        summary="The operator in system does not get through.",
        labels={"namespace": "system"},
    ),
    "OrchestratorOperatorAbsent": Fault(
        # Prometheus takes a series for lost five minutes after its last value.
        series={'orchestrator_build_info{app="operator"}': "1x2 _x30 1x10"},
        quiet_at="10m",
        fires_at="20m",
        ended_at="36m",
        summary="Nobody measures an operator of Orchestrators.",
        labels={"app": "operator"},
    ),
}


def rules() -> dict[str, dict[str, Any]]:
    [group] = yaml.safe_load(COMMITTED.read_text(encoding="utf-8"))["groups"]
    return {rule["alert"]: rule for rule in group["rules"]}


def a_test(name: str, fault: Fault) -> dict[str, Any]:
    """Return promtool's file: silence, the alert with its words, silence."""
    rule = rules()[name]
    # Only the summary has variables, and the table says what becomes of them.
    expected = {
        "exp_labels": {**fault.labels, **rule["labels"]},
        "exp_annotations": {**rule["annotations"], "summary": fault.summary},
    }
    moments: tuple[tuple[str, list[dict[str, Any]]], ...] = (
        (fault.quiet_at, []),
        (fault.fires_at, [expected]),
        (fault.ended_at, []),
    )
    return {
        "rule_files": [str(COMMITTED)],
        "evaluation_interval": "30s",
        "tests": [
            {
                "interval": "1m",
                "input_series": [
                    {"series": series, "values": values} for series, values in fault.series.items()
                ],
                "alert_rule_test": [
                    {"alertname": name, "eval_time": moment, "exp_alerts": alerts}
                    for moment, alerts in moments
                ],
            }
        ],
    }


def test_the_rules_are_ones_that_prometheus_can_read() -> None:
    promtool("check", "rules", COMMITTED)


def test_every_alert_has_its_fault() -> None:
    assert rules().keys() == FAULTS.keys() == {alert.name for alert in ALERTS}


@pytest.mark.parametrize("name", FAULTS)
def test_an_alert_comes_with_its_fault_and_goes_with_it(name: str, tmp_path: Path) -> None:
    path = tmp_path / "test.yaml"
    path.write_text(yaml.safe_dump(a_test(name, FAULTS[name])), encoding="utf-8")

    promtool("test", "rules", path)


def test_workers_that_are_full_consume_nothing_and_are_no_alarm(tmp_path: Path) -> None:
    name = "OrchestratorNoConsumers"
    series = {**FAULTS[name].series, **an_autoscaler("in_flight_tasks", "4x30")}
    played = a_test(name, FAULTS[name])
    [test] = played["tests"]
    test["input_series"] = [{"series": each, "values": values} for each, values in series.items()]
    for moment in test["alert_rule_test"]:
        moment["exp_alerts"] = []
    path = tmp_path / "test.yaml"
    path.write_text(yaml.safe_dump(played), encoding="utf-8")

    promtool("test", "rules", path)


def test_the_runbook_names_only_fields_that_there_are() -> None:
    text = (CHART / RUNBOOK).read_text(encoding="utf-8")
    [version] = build_crd()["spec"]["versions"]
    schema = version["schema"]["openAPIV3Schema"]

    named = {name.rstrip(".") for name in re.findall(r"`(spec\.[\w.]+)", text)}

    assert len(named) > 10
    for name in named:
        found = schema
        for step in name.split("."):
            found = found["properties"].get(step)
            assert found is not None, name


def test_only_the_summary_has_variables() -> None:
    for rule in rules().values():
        assert "{{" not in rule["annotations"]["description"] + rule["annotations"]["runbook_url"]


def test_every_alert_has_its_section_in_the_runbook_and_there_is_no_other() -> None:
    text = (CHART / RUNBOOK).read_text(encoding="utf-8")
    sections = re.split(r"^## ", text, flags=re.MULTILINE)[1:]

    titles = [section.splitlines()[0] for section in sections]

    assert titles == [alert.name for alert in ALERTS]
    for section in sections:
        for question in ("**Means.**", "**Users see", "**Look at**", "**Do.**"):
            assert question in section, section.splitlines()[0]
    anchors = set(re.findall(r"\(#(\w+)\)", text))
    assert anchors <= {title.lower() for title in titles}
    assert {rule["annotations"]["runbook_url"] for rule in rules().values()} == {
        f"{RUNBOOK}#{title.lower()}" for title in titles
    }
