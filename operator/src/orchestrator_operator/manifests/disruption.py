"""Disruption budgets: a node's drain takes one pod of a component at a time.

Only where there is more than one: a budget for a single pod would block
the drain for ever.

Before: the Deployments of API and edge, and the broker's StatefulSet.
After: the eviction API keeps to them.
"""

from orchestrator_operator import names
from orchestrator_operator.kinds import DISRUPTION_BUDGET, Manifest
from orchestrator_operator.manifests.context import Context, build_object


def build_disruption_budgets(context: Context) -> list[Manifest]:
    """Return a budget for each component that has several pods."""
    rabbitmq = context.spec.rabbitmq.managed
    replicas = {
        names.API: context.spec.api.replicas,
        names.EDGE: context.spec.edge.replicas,
        names.RABBITMQ: 1 if rabbitmq is None else rabbitmq.replicas,
    }
    return [_build(context, component) for component, count in replicas.items() if count > 1]


def _build(context: Context, component: str) -> Manifest:
    body = {
        "spec": {
            "maxUnavailable": 1,
            "selector": {"matchLabels": context.selector(component)},
            # A pod that is not ready protects nothing and must not hold up a drain.
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        }
    }
    return build_object(context, DISRUPTION_BUDGET, component, body)
