"""The alerts: symptoms that somebody has to look at, each with its page of the runbook.

An alert is about an Orchestrator and carries its ``namespace`` and ``name``, whoever measured
it. Thresholds are a few times what the platform promises and last for minutes: who is woken
should find something to do.

Before: ``orchestrator_*.metrics`` name what is measured.
After: ``writing`` writes them for promtool and for the chart's PrometheusRule.
"""

from dataclasses import dataclass
from typing import Any, Final, Literal

from hack.monitoring.selecting import DEAD, FAILED, REQUESTS

RUNBOOK: Final = "RUNBOOK.md"
"""Stands for where the runbook can be read; the chart puts its own value there."""
Severity = Literal["critical", "warning"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One alert."""

    name: str
    expression: str
    lasting: str
    """How long it has to hold, as Prometheus writes durations."""
    severity: Severity
    summary: str
    """One sentence with the alert's labels."""
    description: str
    """What it means for users; the same for all."""


def _named(expression: str) -> str:
    """Give series of a platform's pods the label that an autoscaler's have: ``name``."""
    return f'label_replace({expression}, "name", "$1", "app_kubernetes_io_instance", "(.+)")'


def _folded(fold: str, series: str, *, by: str = "") -> str:
    """Fold the series of a platform's pods into one, or into one for each value of ``by``."""
    labels = ", ".join(filter(None, ["namespace", "name", by]))
    return f"{fold} by ({labels}) ({_named(series)})"


def _scaled(series: str) -> str:
    """Return an autoscaler's series, while two of the operator's pods may tell it."""
    return f"max by (namespace, name) (orchestrator_autoscaler_{series})"


def _requests(*matchers: str) -> str:
    labels = ", ".join([REQUESTS, *matchers])
    return _folded("sum", f"rate(orchestrator_api_requests_total{{{labels}}}[5m])")


_WHO: Final = "{{ $labels.namespace }}/{{ $labels.name }}"
_CONSUMERS: Final = _folded("sum", 'rabbitmq_detailed_queue_consumers{queue=~"task[.]created.*"}')
_WAITS: Final = _folded("sum", "rate(orchestrator_worker_task_wait_seconds_bucket[10m])", by="le")
_STARTS_WITHIN: Final = f"histogram_quantile(0.95, {_WAITS})"
ALERTS: Final[tuple[Alert, ...]] = (
    Alert(
        name="OrchestratorTasksWait",
        expression=(
            f"min_over_time(({_scaled('oldest_ready_age_seconds')})[5m:30s])"
            f" > 3 * {_scaled('target_latency_seconds')}"
        ),
        lasting="5m",
        severity="warning",
        summary=f"The oldest task of {_WHO} has waited for more than"
        " {{ $value | humanizeDuration }}.",
        description="Tasks wait more than three times as long as the resource promises.",
    ),
    Alert(
        name="OrchestratorTasksStartLate",
        expression=f"{_STARTS_WITHIN} > 3 * {_scaled('target_latency_seconds')}",
        lasting="10m",
        severity="warning",
        summary=f"5 % of the tasks of {_WHO} start after {{{{ $value | humanizeDuration }}}}.",
        description="Tasks start more than three times as late as the resource promises.",
    ),
    Alert(
        name="OrchestratorTasksStuck",
        expression=f"{_scaled('stuck_tasks')} > 0",
        lasting="3m",
        severity="critical",
        summary=f"{{{{ $value }}}} tasks of {_WHO} are stuck.",
        description="No replica of the API rings for tasks that are due: they do not start.",
    ),
    Alert(
        name="OrchestratorNoConsumers",
        expression=(
            # Workers whose slots are all busy consume nothing either.
            f"{_scaled('ready_tasks')} > 0 and {_scaled('in_flight_tasks')} == 0"
            f" and ({_scaled('ready_replicas')} == 0 or {_CONSUMERS} == 0)"
        ),
        lasting="2m",
        severity="critical",
        summary=f"{{{{ $value }}}} tasks of {_WHO} wait, and no worker takes them.",
        description="Tasks are accepted and none of them starts.",
    ),
    Alert(
        name="OrchestratorDeadLetters",
        expression=f"{_folded('max', f'rabbitmq_detailed_queue_messages{{{DEAD}}}')} > 0",
        lasting="1m",
        severity="warning",
        summary=f"{{{{ $value }}}} messages of {_WHO} could not be used by any worker.",
        description="No task is lost: it is rung for again. But something sends what it should"
        " not, or ends workers.",
    ),
    Alert(
        name="OrchestratorApiErrors",
        expression=f"{_requests(FAILED)} / {_requests()} > 0.05",
        lasting="5m",
        severity="critical",
        summary=f"{{{{ $value | humanizePercentage }}}} of the requests to {_WHO} fail.",
        description="Clients get 5xx; well-behaved ones try again.",
    ),
    Alert(
        name="OrchestratorStoreDown",
        expression=f"{_folded('max', 'orchestrator_store_up', by='store')} == 0",
        lasting="1m",
        severity="critical",
        summary=f"No process of {_WHO} reaches {{{{ $labels.store }}}}.",
        description="Without Postgres nothing is served. Without RabbitMQ tasks are accepted and"
        " wait. Without Redis limits hold for each replica alone, and reads are slower.",
    ),
    Alert(
        name="OrchestratorScalingLimited",
        expression=f"{_scaled('limited')} == 1",
        lasting="30m",
        severity="warning",
        summary=f"The load of {_WHO} asks for more workers than are allowed.",
        description="Tasks wait longer than promised, for as long as the load lasts.",
    ),
    Alert(
        name="OrchestratorScalingHeld",
        expression=f"{_scaled('faulty')} == 1",
        lasting="5m",
        severity="warning",
        summary=f"The number of workers of {_WHO} is held.",
        description="The autoscaler can't read the load: workers neither come nor go.",
    ),
    Alert(
        name="OrchestratorWorkersFail",
        expression=f"{_scaled('failing_replicas')} > 0",
        lasting="10m",
        severity="warning",
        summary=f"{{{{ $value }}}} workers of {_WHO} crash or can't start.",
        description="Fewer workers than wanted: tasks may wait.",
    ),
    Alert(
        name="OrchestratorReconcileFails",
        expression=(
            "sum by (namespace)"
            ' (increase(orchestrator_operator_passes_total{verdict=~"failed|retry"}[15m])) > 5'
        ),
        lasting="5m",
        severity="warning",
        summary="The operator in {{ $labels.namespace }} does not get through.",
        description="What runs goes on; changes of a resource may not happen, nor healing.",
    ),
    Alert(
        name="OrchestratorOperatorAbsent",
        expression='absent(orchestrator_build_info{app="operator"})',
        lasting="10m",
        severity="warning",
        summary="Nobody measures an operator of Orchestrators.",
        description="It does not run, or Prometheus does not find it. What runs goes on; nothing"
        " scales or heals.",
    ),
)


def to_rules(alerts: tuple[Alert, ...] = ALERTS) -> dict[str, Any]:
    """Return the alerts as a file of rules of Prometheus."""
    return {"groups": [{"name": "orchestrator", "rules": [_to_rule(each) for each in alerts]}]}


def _to_rule(alert: Alert) -> dict[str, Any]:
    return {
        "alert": alert.name,
        "expr": alert.expression,
        "for": alert.lasting,
        "labels": {"severity": alert.severity},
        "annotations": {
            "summary": alert.summary,
            "description": alert.description,
            "runbook_url": f"{RUNBOOK}#{alert.name.lower()}",
        },
    }
