"""Overview: is all well, and if not, which of the other dashboards says why.

Before: ``selecting`` has the expressions.
After: ``dashboards`` lists it first.
"""

from typing import Final

from hack.monitoring.panels import Dashboard, Level, Query, Row, Unit, lines, number
from hack.monitoring.selecting import DEAD, FAILED, REQUESTS, own, quantile, rate, scaled

NOT_SERVED: Final = (
    f"({rate('orchestrator_api_requests_total', REQUESTS, FAILED)} or vector(0))"
    f" / {rate('orchestrator_api_requests_total', REQUESTS)}"
)
WAIT: Final = "orchestrator_worker_task_wait_seconds"

_NOW = Row(
    "Now",
    (
        number(
            "Waiting",
            "Tasks that are due and that no worker holds. Counted up to 20,000.",
            scaled("ready_tasks"),
            Unit.NUMBER,
        ),
        number(
            "Oldest waits",
            "How long the oldest of them has been due. Above the promised latency for minutes:"
            " see Autoscaling.",
            scaled("oldest_ready_age_seconds"),
            Unit.SECONDS,
            Level("orange", 30),
            Level("red", 300),
        ),
        number(
            "Running",
            "Tasks under a live lease.",
            scaled("in_flight_tasks"),
            Unit.NUMBER,
        ),
        number(
            "Stuck",
            "Tasks whose doorbell should have rung a minute ago. Anything but 0 is a fault: see"
            " Stores.",
            scaled("stuck_tasks"),
            Unit.NUMBER,
            Level("red", 1),
        ),
        number(
            "Dead letters",
            "Messages that no worker could use. No task depends on them; somebody should look.",
            f"max({own('rabbitmq_detailed_queue_messages', DEAD)})",
            Unit.NUMBER,
            Level("orange", 1),
        ),
        number(
            "Stores that answer",
            "Share of Postgres, RabbitMQ and Redis that at least one process reaches.",
            f"avg(max by (store) ({own('orchestrator_store_up')}))",
            Unit.SHARE,
            Level("green", 1),
            base_color="red",
        ),
    ),
)
_FLOW = Row(
    "Flow",
    (
        lines(
            "Tasks in and out",
            "Tasks accepted, and attempts that ended. Out below in for long: a backlog grows.",
            Unit.PER_SECOND,
            Query(rate("orchestrator_api_tasks_submitted_total"), "accepted"),
            Query(rate("orchestrator_worker_attempts_total", 'outcome="succeeded"'), "succeeded"),
            Query(
                rate("orchestrator_worker_attempts_total", 'outcome!="succeeded"'),
                "ended otherwise",
            ),
        ),
        lines(
            "Time to start",
            "From when a task is due to its first claim. The dashed line is what the resource"
            " promises.",
            Unit.SECONDS,
            Query(quantile(0.5, WAIT), "half"),
            Query(quantile(0.95, WAIT), "95 %"),
            Query(scaled("target_latency_seconds"), "promised", is_bound=True),
        ),
        lines(
            "Waiting and running",
            "What the autoscaler reads: tasks that no worker holds, and live leases.",
            Unit.NUMBER,
            Query(scaled("ready_tasks"), "waiting"),
            Query(scaled("in_flight_tasks"), "running"),
        ),
        lines(
            "Workers",
            "How many are wanted and how many are ready; never above the dashed line.",
            Unit.NUMBER,
            Query(scaled("desired_replicas"), "wanted"),
            Query(scaled("ready_replicas"), "ready"),
            Query(scaled("max_replicas"), "most", is_bound=True),
        ),
        lines(
            "Requests",
            "Requests of clients, without the kubelet's probes; 499 hung up before the answer.",
            Unit.REQUESTS_PER_SECOND,
            Query(rate("orchestrator_api_requests_total", REQUESTS, by="status"), "{{status}}"),
            is_stacked=True,
        ),
        lines(
            "Requests that failed by our fault",
            "Share of answers 500 and above. Some are asked to come again while Postgres restarts.",
            Unit.SHARE,
            Query(NOT_SERVED, "5xx"),
        ),
    ),
)
OVERVIEW: Final = Dashboard(
    uid="orchestrator-overview",
    title="Orchestrator / Overview",
    description="Is all well, and if not, where to look.",
    rows=(_NOW, _FLOW),
)
