"""Tasks and workers: how long tasks wait and run, how they end, and who is busy.

Before: ``selecting`` has the expressions.
After: ``dashboards`` lists it.
"""

from typing import Final

from hack.monitoring.dashboards.overview import WAIT
from hack.monitoring.panels import Dashboard, Level, Query, Row, Unit, lines, number
from hack.monitoring.selecting import DEAD, mean, of_pods, own, quantile, rate, scaled

ATTEMPTS: Final = "orchestrator_worker_attempts_total"
RUN: Final = "orchestrator_worker_attempt_duration_seconds"
UNSUCCESSFUL: Final = 'outcome=~"failed|retried"'
_CPU, _MEMORY = of_pods("worker")
_BUSY = f"sum({own('orchestrator_worker_slots_busy')})"
_SLOTS = f"sum({own('orchestrator_worker_slots')})"

_TASKS = Row(
    "Tasks",
    (
        lines(
            "Attempts by outcome",
            "retried, failed: the handler's doing. handed_back: a worker went. lease_lost, refused:"
            " cancelled, or another attempt has the task.",
            Unit.PER_SECOND,
            Query(rate(ATTEMPTS, by="outcome"), "{{outcome}}"),
            is_stacked=True,
        ),
        lines(
            "Attempts by type",
            "What the workers are busy with.",
            Unit.PER_SECOND,
            Query(rate(ATTEMPTS, by="task_type"), "{{task_type}}"),
            is_stacked=True,
        ),
        lines(
            "Attempts that did not succeed",
            "Share of each type's attempts that failed or were put off.",
            Unit.SHARE,
            Query(
                f"{rate(ATTEMPTS, UNSUCCESSFUL, by='task_type')}"
                f" / {rate(ATTEMPTS, by='task_type')}",
                "{{task_type}}",
            ),
        ),
        lines(
            "Time to start",
            "From when a task is due to its first claim, over all types; the dashed line is what"
            " the resource promises.",
            Unit.SECONDS,
            Query(quantile(0.5, WAIT), "half"),
            Query(quantile(0.95, WAIT), "95 %"),
            Query(quantile(0.99, WAIT), "99 %"),
            Query(scaled("target_latency_seconds"), "promised", is_bound=True),
        ),
        lines(
            "95 % of each type start within",
            "Types share the workers and the queue, so they should not differ by much.",
            Unit.SECONDS,
            Query(quantile(0.95, WAIT, by="task_type"), "{{task_type}}"),
        ),
        lines(
            "95 % of each type run for less than",
            "From claim to settlement.",
            Unit.SECONDS,
            Query(quantile(0.95, RUN, by="task_type"), "{{task_type}}"),
        ),
    ),
)
_TROUBLE = Row(
    "Lost and found",
    (
        lines(
            "Leases lost",
            "Attempts that went on although their task was somebody else's, and tasks that failed"
            " because the last attempt's worker died.",
            Unit.PER_SECOND,
            Query(rate(ATTEMPTS, 'outcome=~"lease_lost|refused"'), "attempts"),
            Query(rate("orchestrator_api_tasks_lost_total"), "tasks"),
        ),
        number(
            "Stuck",
            "Tasks whose doorbell should have rung a minute ago. Anything but 0 is a fault.",
            scaled("stuck_tasks"),
            Unit.NUMBER,
            Level("red", 1),
            width=8,
        ),
        number(
            "Dead letters",
            "Messages that no worker could use.",
            f"max({own('rabbitmq_detailed_queue_messages', DEAD)})",
            Unit.NUMBER,
            Level("orange", 1),
            width=8,
        ),
    ),
)
_WORKERS = Row(
    "Workers",
    (
        lines(
            "Slots",
            "Attempts that run, of those that could run at once. At the dashed line, tasks wait.",
            Unit.NUMBER,
            Query(_BUSY, "busy"),
            Query(_SLOTS, "all", is_bound=True),
        ),
        lines(
            "Busy slots of each worker",
            "Workers take what they have room for, so all should be about as busy.",
            Unit.NUMBER,
            Query(f"sum by (pod) ({own('orchestrator_worker_slots_busy')})", "{{pod}}"),
            is_stacked=True,
        ),
        lines(
            "Batches",
            "Mean number of tasks claimed, and of outcomes recorded, with one statement: 1 at rest,"
            " more under load.",
            Unit.NUMBER,
            Query(mean("orchestrator_worker_claim_batch_size"), "claimed"),
            Query(mean("orchestrator_worker_settlement_batch_size"), "settled"),
        ),
        lines(
            "Connections to Postgres",
            "Busy ones of all workers.",
            Unit.NUMBER,
            Query(
                "sum by (state) ("
                + own("orchestrator_postgres_connections", 'app_kubernetes_io_component="worker"')
                + ")",
                "{{state}}",
            ),
            is_stacked=True,
        ),
        lines(
            "Processor",
            "Cores that each worker's own process uses; plain handlers run in processes of their"
            " own, which are not in here.",
            Unit.CORES,
            Query(_CPU, "{{pod}}"),
        ),
        lines(
            "Memory",
            "Resident memory of each worker's own process, without those of plain handlers.",
            Unit.BYTES,
            Query(_MEMORY, "{{pod}}"),
        ),
    ),
)
TASKS: Final = Dashboard(
    uid="orchestrator-tasks",
    title="Orchestrator / Tasks and workers",
    description="How long tasks wait and run, how they end, and who is busy.",
    rows=(_TASKS, _TROUBLE, _WORKERS),
)
