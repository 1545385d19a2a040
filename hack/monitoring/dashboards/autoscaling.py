"""Autoscaling: the terms of the law against what it did (``orchestrator_operator.autoscaling``).

Before: ``selecting`` has the expressions.
After: ``dashboards`` lists it.
"""

from typing import Final

from hack.monitoring.panels import Dashboard, Level, Query, Row, Unit, lines, number
from hack.monitoring.selecting import INTERVAL, own, scaled

OPERATOR: Final = 'app_kubernetes_io_name="orchestrator-operator"'
"""Its pods, wherever it is installed: one runs the platforms of many namespaces."""
_PASSES = "orchestrator_operator_passes_total"

_READY_SLOTS = f"{scaled('ready_replicas')} * {scaled('slots_per_replica')}"

_NUMBER = Row(
    "How many workers",
    (
        number(
            "Rules",
            "Whether the law decides how many workers run; not in the modes Fixed and External.",
            scaled("active"),
            Unit.YES_OR_NO,
            width=6,
        ),
        number(
            "Limited",
            "Whether the load asks for more workers than are allowed; the resource's condition"
            " ScalingLimited says by what.",
            scaled("limited"),
            Unit.YES_OR_NO,
            Level("orange", 1),
            width=6,
        ),
        number(
            "Held",
            "Whether the number is held although the law should rule: the load can't be read.",
            scaled("faulty"),
            Unit.YES_OR_NO,
            Level("red", 1),
            width=6,
        ),
        number(
            "Failing",
            "Workers whose pods crash or can't start; with more than half of them no more are"
            " made.",
            scaled("failing_replicas"),
            Unit.NUMBER,
            Level("red", 1),
            width=6,
        ),
        lines(
            "The law and the workers",
            "law: what the load calls for. wanted: what is set, within the bounds and never faster"
            " in than a quarter a minute. ready: pods that are there.",
            Unit.NUMBER,
            Query(scaled("law_replicas"), "law"),
            Query(scaled("desired_replicas"), "wanted"),
            Query(scaled("replicas"), "set"),
            Query(scaled("ready_replicas"), "ready"),
            Query(scaled("min_replicas"), "fewest", is_bound=True),
            Query(scaled("max_replicas"), "most", is_bound=True),
            width=24,
        ),
    ),
)
_TERMS = Row(
    "The terms",
    (
        lines(
            "Slots that the load calls for",
            "Arrivals keep the first part busy, the second is for their randomness, the third"
            " clears what waits in time. The dashed line is what the workers have.",
            Unit.NUMBER,
            Query(scaled("load_slots"), "arrivals"),
            Query(scaled("safety_slots"), "randomness"),
            Query(scaled("backlog_slots"), "backlog"),
            Query(_READY_SLOTS, "there are", is_bound=True),
            is_stacked=True,
        ),
        lines(
            "Slots in use",
            "Those of the ready workers, and how many of them run tasks.",
            Unit.NUMBER,
            Query(_READY_SLOTS, "ready"),
            Query(scaled("in_flight_tasks"), "running"),
        ),
        lines(
            "Arrivals",
            "As the law sees them: the larger of the means over ten seconds and a minute.",
            Unit.PER_SECOND,
            Query(scaled("arrival_rate_per_second"), "law"),
            Query(
                f"sum (rate({own('orchestrator_api_tasks_submitted_total')}[{INTERVAL}]))",
                "accepted by the API",
            ),
        ),
        lines(
            "Service time",
            "How long an attempt takes, as the law sees it.",
            Unit.SECONDS,
            Query(scaled("service_seconds"), "mean"),
        ),
        lines(
            "Waiting",
            "Tasks that are due and that no worker holds.",
            Unit.NUMBER,
            Query(scaled("ready_tasks"), "waiting"),
        ),
        lines(
            "Oldest waits",
            "How long the oldest of them has been due, against what the resource promises.",
            Unit.SECONDS,
            Query(scaled("oldest_ready_age_seconds"), "oldest"),
            Query(scaled("target_latency_seconds"), "promised", is_bound=True),
        ),
    ),
)
_OPERATOR = Row(
    "The operator, for all of its resources",
    (
        lines(
            "Passes",
            "Passes over resources by how they ended. retry, failed: something is in the way; the"
            " resource's conditions say what.",
            Unit.PER_SECOND,
            Query(f"sum by (verdict) (rate({_PASSES}[{INTERVAL}]))", "{{verdict}}"),
            is_stacked=True,
        ),
        lines(
            "How long passes take",
            "Some forty calls of milliseconds; much more is a slow API server.",
            Unit.SECONDS,
            Query(
                "histogram_quantile(0.95, sum by (le)"
                f" (rate(orchestrator_operator_pass_duration_seconds_bucket[{INTERVAL}])))",
                "95 %",
            ),
        ),
        lines(
            "Changes",
            "Objects that were made, changed, grown or deleted. At rest there are none: what is"
            " changed all the time has two owners.",
            Unit.PER_SECOND,
            Query(
                f"sum by (change, kind) (rate(orchestrator_operator_changes_total[{INTERVAL}]))",
                "{{change}} {{kind}}",
            ),
        ),
        lines(
            "Processor",
            "Cores that the operator uses.",
            Unit.CORES,
            Query(
                f"sum by (pod) (rate(process_cpu_seconds_total{{{OPERATOR}}}[{INTERVAL}]))",
                "{{pod}}",
            ),
        ),
        lines(
            "Memory",
            "Resident memory of the operator.",
            Unit.BYTES,
            Query(f"sum by (pod) (process_resident_memory_bytes{{{OPERATOR}}})", "{{pod}}"),
        ),
        number(
            "Resources",
            "Orchestrators whose autoscaler runs, in all namespaces.",
            "sum(orchestrator_operator_scaled_resources)",
            Unit.NUMBER,
            width=8,
        ),
    ),
)
AUTOSCALING: Final = Dashboard(
    uid="orchestrator-autoscaling",
    title="Orchestrator / Autoscaling",
    description="What the scaling law sees and wants, against what it did.",
    rows=(_NUMBER, _TERMS, _OPERATOR),
)
