"""A small world around the reconciler: a cluster in memory whose workloads get ready on demand.

Before: a test describes a resource.
After: passes run until nothing changes, and the test looks at what is there.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from operator_testing.fake_cluster import FakeCluster
from operator_testing.no_pool import NoPool
from orchestrator_operator import names
from orchestrator_operator.applying import Cluster
from orchestrator_operator.companions import Companion
from orchestrator_operator.images import DefaultImages
from orchestrator_operator.kinds import ORCHESTRATOR, Manifest
from orchestrator_operator.looping import Verdict
from orchestrator_operator.manifests.context import hash_of
from orchestrator_operator.reconciling import Reconciler

NAMESPACE = "team"
NAME = "demo"
MOST_PASSES = 20
START = datetime(2026, 1, 1, tzinfo=UTC)


def a_resource(spec: Mapping[str, Any] | None = None, *, name: str = NAME) -> Manifest:
    """Return an Orchestrator as a user writes it."""
    return {
        "apiVersion": ORCHESTRATOR.api_version,
        "kind": ORCHESTRATOR.kind,
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": dict(spec or {}),
    }


class World:
    """One resource, one operator, one cluster."""

    def __init__(self, spec: Mapping[str, Any] | None = None) -> None:
        self.cluster = FakeCluster()
        self.cluster.put(a_resource(spec))
        self.now = START
        self.companion = Companion(pool=NoPool())
        self.pod_monitor_labels: dict[str, str] = {}

    def reconciler(self, cluster: Cluster | None = None) -> Reconciler:
        """Return a reconciler, for this world's cluster or one that stands before it."""
        return Reconciler(
            cluster=cluster or self.cluster,
            default_images=DefaultImages(),
            operator_namespace="orchestrator-system",
            now=lambda: self.now,
            pod_monitor_labels=self.pod_monitor_labels,
        )

    async def make_pass(self, cluster: Cluster | None = None) -> Verdict:
        """Make one pass."""
        return await self.reconciler(cluster).reconcile(NAMESPACE, NAME, self.companion)

    async def settle(self) -> None:
        """Make passes, and let workloads get ready in between, until nothing changes."""
        for _ in range(MOST_PASSES):
            before = self.cluster.versions()
            await self.make_pass()
            self.get_everything_ready()
            self.now += timedelta(seconds=1)
            if self.cluster.versions() == before:
                return
        raise AssertionError(f"still changing after {MOST_PASSES} passes")

    def restart_the_operator(self) -> None:
        """Forget everything that is not in the cluster."""
        self.companion = Companion(pool=NoPool())

    def get_everything_ready(self) -> None:
        """Let each workload and Job come to where it wants to be."""
        for kind, namespace, name in tuple(self.cluster.objects):
            if kind in {"Deployment", "StatefulSet"}:
                self.get_ready(kind, name)
            if kind == "Job":
                self.cluster.set_status(
                    kind, namespace, name, {"conditions": [{"type": "Complete", "status": "True"}]}
                )

    def get_ready(self, kind: str, name: str) -> None:
        """Let one workload get all its pods ready, as its controller would report."""
        workload = self.cluster.objects[kind, NAMESPACE, name]
        replicas = workload["spec"]["replicas"]
        status = {
            "observedGeneration": workload["metadata"]["generation"],
            "replicas": replicas,
            "updatedReplicas": replicas,
            "readyReplicas": replicas,
        }
        self.cluster.set_status(kind, NAMESPACE, name, status)

    def edit(self, **spec: Any) -> None:
        """Replace parts of the resource's spec, as a user would."""
        resource = self.resource
        self.cluster.put({**resource, "spec": {**resource["spec"], **spec}})

    def annotate(self, annotations: Mapping[str, str]) -> None:
        """Replace the resource's annotations, as a user would."""
        resource = self.resource
        metadata = {**resource["metadata"], "annotations": dict(annotations)}
        self.cluster.put({**resource, "metadata": metadata})

    @property
    def resource(self) -> Manifest:
        """The resource as it is."""
        return self.cluster.objects["Orchestrator", NAMESPACE, NAME]

    def child(self, kind: str, component: str) -> Manifest:
        """A child as it is."""
        return self.cluster.objects[kind, NAMESPACE, names.child(NAME, component)]

    def condition(self, type_: str) -> tuple[str, str]:
        """Status and reason of one of the resource's conditions."""
        for condition in self.resource["status"]["conditions"]:
            if condition["type"] == type_:
                return condition["status"], condition["reason"]
        return "Absent", ""

    def message(self, type_: str) -> str:
        """Message of one of the resource's conditions."""
        found = {item["type"]: item["message"] for item in self.resource["status"]["conditions"]}
        return str(found[type_])

    def picture(self) -> dict[tuple[str, str, str], str]:
        """Digest of every object but for what differs from run to run."""
        return {
            key: hash_of(_without_chance(manifest))
            for key, manifest in self.cluster.objects.items()
            if key[0] not in {"Secret", "Orchestrator"}
        }


def _without_chance(manifest: Manifest) -> Manifest:
    """Drop identity and whatever follows from random values."""
    kept = {key: value for key, value in manifest.items() if key not in {"metadata", "status"}}
    template = kept.get("spec", {}).get("template")
    if template is not None and "annotations" in template.get("metadata", {}):
        bare = {**template, "metadata": {"labels": template["metadata"]["labels"]}}
        kept["spec"] = {**kept["spec"], "template": bare}
    return {**kept, "labels": manifest["metadata"].get("labels")}
