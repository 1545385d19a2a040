"""Names, labels and annotations: how children are called and how they are found again.

Everything a resource owns begins with the resource's name, so one look at a
namespace tells what belongs together.

Before: nothing.
After: every builder, and the watches that ring a resource's door.
"""

from collections.abc import Mapping
from typing import Final

GROUP: Final = "taskorchestrator.dev"
FIELD_MANAGER: Final = "orchestrator-operator"
AUTOSCALER_FIELD_MANAGER: Final = "orchestrator-autoscaler"

NAME_LABEL: Final = "app.kubernetes.io/name"
INSTANCE_LABEL: Final = "app.kubernetes.io/instance"
COMPONENT_LABEL: Final = "app.kubernetes.io/component"
MANAGED_BY_LABEL: Final = "app.kubernetes.io/managed-by"
APPLICATION: Final = "orchestrator"
OPERATOR_APPLICATION: Final = "orchestrator-operator"

PAUSE_ANNOTATION: Final = f"{GROUP}/reconcile"
PAUSE_VALUE: Final = "paused"
CONFIG_HASH_ANNOTATION: Final = f"{GROUP}/config-hash"
"""On pod templates: a digest of all the pod mounts, so that a change of it rolls the pods."""

MONITORING_LABEL: Final = f"{GROUP}/monitoring"
MONITORING_VALUE: Final = "allowed"
"""On namespaces whose pods may read the metrics of all platforms."""

LONGEST_RESOURCE_NAME: Final = 40
"""``<name>-rabbitmq-<10 characters of revision>`` is a label's value, at most 63 characters."""

POSTGRES: Final = "postgres"
REDIS: Final = "redis"
RABBITMQ: Final = "rabbitmq"
JWT: Final = "jwt"
MIGRATION: Final = "migrate"
API: Final = "api"
EDGE: Final = "edge"
COOKIE: Final = "erlang-cookie"
WORKER: Final = "worker"


def child(resource: str, component: str) -> str:
    """Return the name of a resource's child: ``demo``, ``api`` → ``demo-api``."""
    return f"{resource}-{component}"


def selector_labels(resource: str, component: str) -> dict[str, str]:
    """Return the labels that pick a component's pods; selectors can't change, so nor may these."""
    return {NAME_LABEL: APPLICATION, INSTANCE_LABEL: resource, COMPONENT_LABEL: component}


def labels(resource: str, component: str) -> dict[str, str]:
    """Return the labels of every child."""
    return {**selector_labels(resource, component), MANAGED_BY_LABEL: FIELD_MANAGER}


def ownership_labels(resource: str) -> dict[str, str]:
    """Return the labels by which a pass lists a resource's children."""
    return {MANAGED_BY_LABEL: FIELD_MANAGER, INSTANCE_LABEL: resource}


def to_selector_text(selector: Mapping[str, str]) -> str:
    """Return a selector as ``/scale`` and ``kubectl -l`` want it."""
    return ",".join(f"{key}={value}" for key, value in sorted(selector.items()))
