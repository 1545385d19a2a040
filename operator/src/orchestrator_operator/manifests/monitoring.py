"""Who reads the metrics: PodMonitors, for a Prometheus that an operator runs.

Before: the cluster has that kind, and ``spec.monitoring`` wants it.
After: such a Prometheus finds the pods by itself, and NetworkPolicies let it in from namespaces
that are labelled for it (``network``).
"""

from typing import Any, Final

from orchestrator_operator import names
from orchestrator_operator.kinds import POD_MONITOR, Manifest
from orchestrator_operator.manifests.application import METRICS, METRICS_PORT
from orchestrator_operator.manifests.context import Context, build_object
from orchestrator_operator.manifests.rabbitmq import METRICS_PORT as RABBITMQ_METRICS_PORT
from orchestrator_operator.outside import PodMonitors

MEASURED: Final = {
    names.API: METRICS_PORT,
    names.WORKER: METRICS_PORT,
    names.RABBITMQ: RABBITMQ_METRICS_PORT,
}
"""Who serves metrics, on a port of its own that no Service has."""
QUEUES: Final[dict[str, Any]] = {
    "port": METRICS,
    "path": "/metrics/detailed",
    "params": {"family": ["queue_coarse_metrics", "queue_consumer_count"]},
    # Both endpoints are the same pod and port: without a label of its own, this one's ``up`` would
    # be the other one's, too.
    "relabelings": [{"targetLabel": "endpoint", "replacement": "queues"}],
}
"""RabbitMQ's numbers queue by queue, of which there are two; what it usually tells is their sum."""


def build_pod_monitors(context: Context) -> list[Manifest]:
    """Return one for each component that serves metrics; none where there can be none."""
    is_wanted = context.spec.monitoring.pod_monitors is PodMonitors.AUTO
    if not (is_wanted and context.knows_pod_monitors):
        return []
    return [_build(context, each) for each in MEASURED if not context.is_external(each)]


def _build(context: Context, component: str) -> Manifest:
    spec = {
        "selector": {"matchLabels": context.selector(component)},
        "podMetricsEndpoints": [
            {"port": METRICS},
            *([QUEUES] if component == names.RABBITMQ else []),
        ],
        # Labels that every series gets, so that a dashboard can choose among platforms.
        "podTargetLabels": [names.INSTANCE_LABEL, names.COMPONENT_LABEL],
    }
    built = build_object(context, POD_MONITOR, component, {"spec": spec})
    labels = {**context.pod_monitor_labels, **built["metadata"]["labels"]}
    return {**built, "metadata": {**built["metadata"], "labels": labels}}
