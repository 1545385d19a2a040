"""All that builders may know, and the metadata that every child carries.

Before: ``observing`` gathers the facts of a pass.
After: each builder takes a ``Context`` and returns manifests; the same context
always gives the same manifests.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from orchestrator_operator import names
from orchestrator_operator.bindings import Binding
from orchestrator_operator.images import ResolvedImages
from orchestrator_operator.kinds import ORCHESTRATOR, Kind, Manifest
from orchestrator_operator.spec import OrchestratorSpec

SHORT_HASH_LENGTH = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """How the stores are reached, and the keys of the API."""

    stores: Mapping[str, Binding]
    """Component → how it is reached."""
    jwt_secret: str = field(repr=False)
    edge_key: str = field(repr=False)
    erlang_cookie: str = field(default="", repr=False)
    """By which the nodes of a RabbitMQ of several know each other; empty where there is one."""

    @property
    def postgres(self) -> Binding:
        """Return how Postgres is reached."""
        return self.stores[names.POSTGRES]

    @property
    def redis(self) -> Binding:
        """Return how Redis is reached."""
        return self.stores[names.REDIS]

    @property
    def rabbitmq(self) -> Binding:
        """Return how RabbitMQ is reached."""
        return self.stores[names.RABBITMQ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """One resource, and the observed facts that its children depend on."""

    name: str
    namespace: str
    uid: str
    spec: OrchestratorSpec
    images: ResolvedImages
    credentials: Credentials
    operator_namespace: str
    """Where the autoscaler connects from; the stores' policies let it in."""
    api_cluster_ip: str | None = None
    """Address of the API's Service once there is one."""
    database_identity: str | None = None
    """Which volume the database is on, once there is one, or where somebody else runs it; another
    one has to be migrated anew."""
    knows_pod_monitors: bool = False
    """Whether the cluster has the kind of a Prometheus that is run by an operator."""
    pod_monitor_labels: Mapping[str, str] = field(default_factory=dict)
    """By which that Prometheus selects what it reads."""
    initial_workers: int = 0
    """Replicas that a worker Deployment starts with; from then on the autoscaler decides."""

    def child(self, component: str) -> str:
        """Return the name of a component."""
        return names.child(self.name, component)

    def is_external(self, component: str) -> bool:
        """Whether a component is a store that somebody else runs."""
        return component in self.spec.external_stores

    def selector(self, component: str) -> dict[str, str]:
        """Return the labels of a component's pods."""
        return names.selector_labels(self.name, component)


def owner_reference(context: Context) -> dict[str, Any]:
    """Return the reference by which the garbage collector finds children of a deleted resource.

    ``blockOwnerDeletion`` is left out: it would ask for a permission on finalizers, and nothing
    waits for a child to go first.
    """
    return {
        "apiVersion": ORCHESTRATOR.api_version,
        "kind": ORCHESTRATOR.kind,
        "name": context.name,
        "uid": context.uid,
        "controller": True,
    }


def build_object(
    context: Context, kind: Kind, component: str, body: Mapping[str, Any], *, suffix: str = ""
) -> Manifest:
    """Return a child: its kind, name, labels and owner around ``body``."""
    return {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "metadata": {
            "name": context.child(component) + suffix,
            "namespace": context.namespace,
            "labels": names.labels(context.name, component),
            "ownerReferences": [owner_reference(context)],
        },
        **body,
    }


def hash_of(*parts: object) -> str:
    """Return a short digest of JSON values; equal values give equal digests."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:SHORT_HASH_LENGTH]
