"""The kinds of Kubernetes object that the operator reads and writes, with their addresses.

The operator treats objects as plain JSON and needs no generated class per
kind: an API version, a kind and a plural say where an object lives.

Before: nothing.
After: ``applying`` builds paths from a kind; ``handlers`` watches ``WATCHED_CHILDREN``;
``observing`` lists ``LISTED_CHILDREN``; ``reconciling`` prunes ``PRUNED_CHILDREN``.
"""

from dataclasses import dataclass
from typing import Any

Manifest = dict[str, Any]
"""One Kubernetes object as JSON."""


@dataclass(frozen=True, slots=True)
class Kind:
    """Where objects of a kind live in the Kubernetes API."""

    api_version: str
    kind: str
    plural: str

    @property
    def collection_root(self) -> str:
        """The path before ``/namespaces/…``: the core group alone lives under ``/api``."""
        return (
            f"/apis/{self.api_version}" if "/" in self.api_version else f"/api/{self.api_version}"
        )

    def path(self, namespace: str | None, name: str | None = None, subresource: str = "") -> str:
        """Return the path of a collection, an object or one of its subresources."""
        parts = [self.collection_root]
        if namespace is not None:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        if name is not None:
            parts.append(name)
        if subresource:
            parts.append(subresource)
        return "/".join(parts)


ORCHESTRATOR = Kind("taskorchestrator.dev/v1alpha1", "Orchestrator", "orchestrators")
CONFIG_MAP = Kind("v1", "ConfigMap", "configmaps")
EVENT = Kind("v1", "Event", "events")
POD = Kind("v1", "Pod", "pods")
SECRET = Kind("v1", "Secret", "secrets")
SERVICE = Kind("v1", "Service", "services")
VOLUME_CLAIM = Kind("v1", "PersistentVolumeClaim", "persistentvolumeclaims")
DEPLOYMENT = Kind("apps/v1", "Deployment", "deployments")
STATEFUL_SET = Kind("apps/v1", "StatefulSet", "statefulsets")
JOB = Kind("batch/v1", "Job", "jobs")
INGRESS = Kind("networking.k8s.io/v1", "Ingress", "ingresses")
NETWORK_POLICY = Kind("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies")
DISRUPTION_BUDGET = Kind("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets")
POD_MONITOR = Kind("monitoring.coreos.com/v1", "PodMonitor", "podmonitors")

OPTIONAL_CHILDREN = (POD_MONITOR,)
"""Kinds that a cluster may not know, and may come to know. They are looked for in each pass; to
watch what is not there is an endless complaint."""
_USUAL_CHILDREN = (
    CONFIG_MAP,
    SERVICE,
    STATEFUL_SET,
    DEPLOYMENT,
    JOB,
    INGRESS,
    NETWORK_POLICY,
    DISRUPTION_BUDGET,
)
PRUNED_CHILDREN = (*_USUAL_CHILDREN, *OPTIONAL_CHILDREN)
"""What a pass may delete when it is no longer desired. Never a Secret, a Pod or a volume."""

LISTED_CHILDREN = (*_USUAL_CHILDREN, POD, VOLUME_CLAIM)
WATCHED_CHILDREN = (*_USUAL_CHILDREN, POD)
"""Secrets are missing on purpose: to watch them is to be allowed to read all of a namespace's.
They are fetched by name instead, see ``watching_secrets``."""

_BY_TYPE = {
    (kind.api_version, kind.kind): kind
    for kind in (ORCHESTRATOR, EVENT, SECRET, *LISTED_CHILDREN, *OPTIONAL_CHILDREN)
}


def kind_of(manifest: Manifest) -> Kind:
    """Return the kind of a manifest; a ``KeyError`` here is a builder's mistake."""
    return _BY_TYPE[manifest["apiVersion"], manifest["kind"]]
