"""Stores: do Postgres, RabbitMQ and Redis answer, and how near are they to their bounds.

What the kubelet measures (``container_*``, ``kubelet_volume_*``) comes from the cluster's own
monitoring; it is the only one that sees inside a store's pod without an exporter.

Before: ``selecting`` has the expressions.
After: ``dashboards`` lists it.
"""

from typing import Final

from hack.monitoring.panels import Dashboard, Query, Row, Unit, lines
from hack.monitoring.selecting import INTERVAL, own, rate

_PODS = 'namespace="$namespace", pod=~"$orchestrator-(postgres|redis|rabbitmq)-.*"'
"""Some nodes measure pods as a whole, most also each container; these pods have one, so the largest
is right for either."""
_VOLUMES = (
    'namespace="$namespace",'
    ' persistentvolumeclaim=~"data-$orchestrator-(postgres|redis|rabbitmq)-.*"'
)
_QUEUE = 'queue=~"task[.]created.*"'

_ANSWERS = Row(
    "Who answers",
    (
        lines(
            "Stores that answer",
            "Share of the processes that reach each store: the API's and the workers'.",
            Unit.SHARE,
            Query(f"avg by (store) ({own('orchestrator_store_up')})", "{{store}}"),
            most=1,
        ),
        lines(
            "Connections to Postgres",
            "Of all API and worker processes; busy ones run a statement.",
            Unit.NUMBER,
            Query(
                "sum by (app_kubernetes_io_component, state)"
                f" ({own('orchestrator_postgres_connections')})",
                "{{app_kubernetes_io_component}} {{state}}",
            ),
            is_stacked=True,
        ),
        lines(
            "Pools in use",
            "Busy connections of the fullest process, as a share of what it may open.",
            Unit.SHARE,
            Query(
                "max by (app_kubernetes_io_component) ("
                + own("orchestrator_postgres_connections", 'state="busy"')
                + " / ignoring (state) "
                + own("orchestrator_postgres_connections_max")
                + ")",
                "{{app_kubernetes_io_component}}",
            ),
            most=1,
        ),
    ),
)
_RABBITMQ = Row(
    "RabbitMQ",
    (
        lines(
            "Messages that wait",
            "Doorbells, not tasks: one may be lost or doubled and is rung again.",
            Unit.NUMBER,
            Query(
                f"max by (queue) ({own('rabbitmq_detailed_queue_messages_ready')})",
                "{{queue}} waiting",
            ),
            Query(
                f"max by (queue) ({own('rabbitmq_detailed_queue_messages_unacked', _QUEUE)})",
                "{{queue}} at workers",
            ),
        ),
        lines(
            "Consumers",
            "Workers that take messages: those with a free slot, and not about to go.",
            Unit.NUMBER,
            Query(
                f"max by (queue) ({own('rabbitmq_detailed_queue_consumers', _QUEUE)})", "{{queue}}"
            ),
        ),
        lines(
            "Messages in and out",
            "Published with a confirm, and delivered.",
            Unit.PER_SECOND,
            Query(rate("rabbitmq_global_messages_received_total"), "published"),
            Query(rate("rabbitmq_global_messages_confirmed_total"), "confirmed"),
            Query(rate("rabbitmq_global_messages_delivered_total"), "delivered"),
        ),
        lines(
            "Memory",
            "Of each node; at the dashed line it takes no more messages.",
            Unit.BYTES,
            Query(f"sum by (pod) ({own('rabbitmq_process_resident_memory_bytes')})", "{{pod}}"),
            Query(f"min({own('rabbitmq_resident_memory_limit_bytes')})", "alarm", is_bound=True),
        ),
        lines(
            "Free disk",
            "Of each node; at the dashed line it takes no more messages.",
            Unit.BYTES,
            Query(f"sum by (pod) ({own('rabbitmq_disk_space_available_bytes')})", "{{pod}}"),
            Query(
                f"max({own('rabbitmq_disk_space_available_limit_bytes')})", "alarm", is_bound=True
            ),
        ),
        lines(
            "Connections",
            "One of each API and worker process.",
            Unit.NUMBER,
            Query(f"sum({own('rabbitmq_connections')})", "connections"),
        ),
    ),
)
_KUBELET = Row(
    "As the kubelet sees them",
    (
        lines(
            "Processor",
            "Cores that each store uses.",
            Unit.CORES,
            Query(
                f"max by (pod) (rate(container_cpu_usage_seconds_total{{{_PODS}}}[{INTERVAL}]))",
                "{{pod}}",
            ),
        ),
        lines(
            "Memory",
            "Working set of each store: what the kernel can't take back.",
            Unit.BYTES,
            Query(
                f"max by (pod) (container_memory_working_set_bytes{{{_PODS}}})",
                "{{pod}}",
            ),
        ),
        lines(
            "Volumes",
            "Share of each volume that is full. At 1 the store refuses to write: raise its size.",
            Unit.SHARE,
            Query(
                f"max by (persistentvolumeclaim) (kubelet_volume_stats_used_bytes{{{_VOLUMES}}}"
                f" / kubelet_volume_stats_capacity_bytes{{{_VOLUMES}}})",
                "{{persistentvolumeclaim}}",
            ),
            most=1,
        ),
    ),
)
STORES: Final = Dashboard(
    uid="orchestrator-stores",
    title="Orchestrator / Stores",
    description="Whether Postgres, RabbitMQ and Redis answer, and how near they are to bounds.",
    rows=(_ANSWERS, _RABBITMQ, _KUBELET),
)
