"""The scaling loop's hands: the worker Deployment and its pods, over the Kubernetes API.

Of the Deployment it writes ``spec.replicas`` alone, as a field manager of its own,
so the reconciler can apply all the rest without knowing the number. Of a pod it
writes the deletion cost, and only when that pod is about to go: the annotation is
no place for a number that moves (KEP-2255).

Before: ``scaling`` decides.
After: the Deployment's controller makes or ends pods; Events tell people.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any, Final

from orchestrator_operator.applying import Cluster
from orchestrator_operator.kinds import DEPLOYMENT, POD, Manifest
from orchestrator_operator.names import AUTOSCALER_FIELD_MANAGER, WORKER, child
from orchestrator_operator.ownership import conflict_with
from orchestrator_operator.telling import NORMAL, WARNING, emit
from orchestrator_operator.worker_pods import ObservedWorkers, WorkerPod

DELETION_COST_ANNOTATION: Final = "controller.kubernetes.io/pod-deletion-cost"
UNSTARTABLE_REASONS: Final = frozenset(
    {
        "CrashLoopBackOff",
        "CreateContainerConfigError",
        "CreateContainerError",
        "ErrImageNeverPull",
        "ErrImagePull",
        "ImagePullBackOff",
        "InvalidImageName",
        "RunContainerError",
    }
)
"""Why a container waits that a further pod would wait for as well."""
CRASH_LOOP_RESTARTS: Final = 2
"""Between two crashes a container runs for a while; so many restarts unready are a loop too."""
ENDED_PHASES: Final = frozenset({"Failed", "Succeeded"})


class KubernetesWorkers:
    """The worker Deployment of one resource."""

    def __init__(
        self,
        cluster: Cluster,
        *,
        resource: Manifest,
        show: Callable[[Sequence[Manifest]], None] | None = None,
    ) -> None:
        """Bind to a resource.

        Args:
            cluster: each call has a deadline of its own.
            resource: the Orchestrator; Events are about it.
            show: gets each list of all worker pods, also of those that have ended.
        """
        self._cluster = cluster
        self._show = show
        self._resource = resource
        self._namespace: str = resource["metadata"]["namespace"]
        self._name = child(resource["metadata"]["name"], WORKER)

    async def observe_workers(self) -> ObservedWorkers | None:
        """Look at the worker Deployment and its pods; None when the resource has none."""
        deployment = await self._cluster.get(DEPLOYMENT, self._namespace, self._name)
        if deployment is None or "deletionTimestamp" in deployment["metadata"]:
            return None
        # A pass reports it; to scale it would be to write what is somebody else's.
        if self._is_foreign(deployment):
            return None
        selector = deployment["spec"]["selector"]["matchLabels"]
        pods = await self._cluster.list(POD, self._namespace, selector)
        if self._show is not None:
            self._show(pods)
        return ObservedWorkers(
            replicas=deployment["spec"].get("replicas", 1),
            is_rolling_out=_is_rolling_out(deployment),
            pods=tuple(to_worker_pod(pod) for pod in pods if _is_living(pod)),
        )

    async def set_replicas(self, replicas: int) -> None:
        """Write ``spec.replicas`` and nothing else."""
        await self._cluster.apply(
            {
                "apiVersion": DEPLOYMENT.api_version,
                "kind": DEPLOYMENT.kind,
                "metadata": {"name": self._name, "namespace": self._namespace},
                "spec": {"replicas": replicas},
            },
            field_manager=AUTOSCALER_FIELD_MANAGER,
        )

    async def set_deletion_costs(self, costs: dict[str, int]) -> None:
        """Write the deletion costs of pods by name; 0 removes one. A missing pod is no error."""
        for name, cost in costs.items():
            annotations = {DELETION_COST_ANNOTATION: str(cost) if cost else None}
            await self._cluster.merge(
                {
                    "apiVersion": POD.api_version,
                    "kind": POD.kind,
                    "metadata": {
                        "name": name,
                        "namespace": self._namespace,
                        "annotations": annotations,
                    },
                },
                field_manager=AUTOSCALER_FIELD_MANAGER,
            )

    async def emit_event(self, reason: str, message: str, *, is_warning: bool = False) -> None:
        """Record an Event about the resource; one that can't be written stops nothing."""
        type_ = WARNING if is_warning else NORMAL
        await emit(self._cluster, self._resource, type_=type_, reason=reason, message=message)

    def _is_foreign(self, deployment: Manifest) -> bool:
        owner = self._resource["metadata"]
        return conflict_with(deployment, resource=owner["name"], uid=owner["uid"]) is not None


def to_worker_pod(pod: Manifest) -> WorkerPod:
    """Read a pod's JSON; anything the kubelet has not filled in yet means not ready."""
    metadata, status = pod["metadata"], pod.get("status") or {}
    ready_at = _ready_at(status)
    cost = (metadata.get("annotations") or {}).get(DELETION_COST_ANNOTATION, "0")
    return WorkerPod(
        name=metadata["name"],
        created_at=datetime.fromisoformat(metadata["creationTimestamp"]),
        ready_at=ready_at,
        is_failing=ready_at is None and any(map(_is_looping, _container_statuses(status))),
        deletion_cost=int(cost) if cost.lstrip("+-").isdigit() else 0,
    )


def _is_rolling_out(deployment: Manifest) -> bool:
    """Tell whether an older ReplicaSet still has pods, or the controller has yet to look."""
    status = deployment.get("status") or {}
    is_seen = status.get("observedGeneration", 0) >= deployment["metadata"].get("generation", 0)
    return not is_seen or status.get("updatedReplicas", 0) < status.get("replicas", 0)


def _is_living(pod: Manifest) -> bool:
    phase = (pod.get("status") or {}).get("phase")
    return "deletionTimestamp" not in pod["metadata"] and phase not in ENDED_PHASES


def _ready_at(status: dict[str, Any]) -> datetime | None:
    for condition in status.get("conditions") or ():
        if condition["type"] == "Ready" and condition["status"] == "True":
            return datetime.fromisoformat(condition["lastTransitionTime"])
    return None


def _container_statuses(status: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from status.get("initContainerStatuses") or ()
    yield from status.get("containerStatuses") or ()


def _is_looping(container: dict[str, Any]) -> bool:
    waiting = (container.get("state") or {}).get("waiting") or {}
    if waiting.get("reason") in UNSTARTABLE_REASONS:
        return True
    return (
        container.get("restartCount", 0) >= CRASH_LOOP_RESTARTS
        and "terminated" in (container.get("lastState") or {})
        and not container.get("ready", False)
    )
