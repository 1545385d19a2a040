"""How far a workload is, read from its own status: pure functions over what was observed.

Before: ``observing`` lists StatefulSets, Deployments, Jobs and Pods.
After: ``reconciling`` opens gates by it; ``status`` turns it into conditions.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from orchestrator_operator import names
from orchestrator_operator.conditions import from_timestamp
from orchestrator_operator.kinds import Manifest
from orchestrator_operator.ownership import controller_of

LONGEST_TROUBLE = 300
PATIENCE_SECONDS = 10
"""A new volume is bound a second or two after its pod was first found to have no place."""
START_SECONDS = 120
"""A large image takes a while to be pulled."""
DISK_FULL = "DiskFull"
WORDS_OF_A_FULL_DISK = ("No space left on device", "enospc")
"""What Postgres and Erlang say as they end."""
NOT_STARTED = "PodNotStarted"
WAITING_REASONS_OF_TROUBLE = frozenset(
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
STABLE_REASONS = {"ErrImagePull": "ImagePullBackOff"}
"""The kubelet alternates between these two for one and the same fault."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How many of a workload's pods are ready, and whether it is where it should be."""

    ready: int
    desired: int
    is_settled: bool
    """Every pod is of the present template and ready, and none is left of an older one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """Something that keeps a pod from running and will not go away by itself soon."""

    component: str
    reason: str
    message: str


def progress_of(workload: Manifest | None) -> Progress | None:
    """Return the progress of a Deployment or StatefulSet; None when there is none."""
    if workload is None:
        return None
    status = workload.get("status") or {}
    wanted = workload["spec"].get("replicas", 1)
    ready = status.get("readyReplicas", 0)
    is_current = status.get("observedGeneration", 0) >= workload["metadata"].get("generation", 0)
    is_updated = status.get("updatedReplicas", 0) == wanted == status.get("replicas", 0)
    return Progress(
        ready=ready, desired=wanted, is_settled=is_current and is_updated and ready == wanted
    )


def is_serving(workload: Manifest | None) -> bool:
    """Return whether at least one pod is ready."""
    progress = progress_of(workload)
    return progress is not None and progress.ready > 0


def condition_of(manifest: Manifest, type_: str) -> dict[str, Any] | None:
    """Return a condition of an object's status when it is true."""
    for condition in (manifest.get("status") or {}).get("conditions") or ():
        if condition["type"] == type_ and condition["status"] == "True":
            return dict(condition)
    return None


def is_complete(job: Manifest | None) -> bool:
    """Return whether a Job has succeeded."""
    return job is not None and condition_of(job, "Complete") is not None


def failure_of(job: Manifest | None) -> dict[str, Any] | None:
    """Return the condition that says that a Job has failed for good."""
    return None if job is None else condition_of(job, "Failed")


def is_migrating(job: Manifest, pods: Iterable[Manifest]) -> bool:
    """Return whether a Job's pod changes the schema right now.

    Killed in the middle, it would leave the version marked as half done, for a hand to mend. It
    ends by itself, within its deadline. One that is leaving is killed already, whatever we spare.
    """
    uid = job["metadata"]["uid"]
    return any(
        controller_of(pod).get("uid") == uid and _runs(pod, names.MIGRATION)
        for pod in pods
        if not pod["metadata"].get("deletionTimestamp")
    )


def _runs(pod: Manifest, init_container: str) -> bool:
    status = pod.get("status") or {}
    # A pod whose node is lost ends as Failed, and its containers may still be told as running.
    return status.get("phase") not in {"Succeeded", "Failed"} and any(
        container["name"] == init_container and "running" in (container.get("state") or {})
        for container in status.get("initContainerStatuses") or ()
    )


def component_of(manifest: Manifest) -> str:
    """Return the component that an object belongs to."""
    labels: dict[str, str] = manifest["metadata"].get("labels") or {}
    return labels.get(names.COMPONENT_LABEL, "")


def find_troubles(
    pods: Iterable[Manifest], workloads: Iterable[Manifest], *, now: datetime
) -> list[Trouble]:
    """Return what is wrong, once per component and reason: one broken image breaks every pod."""
    found: dict[tuple[str, str], Trouble] = {}
    of_pods = (_trouble_of_pod(pod, now) for pod in pods)
    for trouble in (*of_pods, *map(_trouble_of_workload, workloads)):
        if trouble is not None:
            found.setdefault((trouble.component, trouble.reason), trouble)
    return list(found.values())


def _trouble_of_pod(pod: Manifest, now: datetime) -> Trouble | None:
    status = pod.get("status") or {}
    if pod["metadata"].get("deletionTimestamp") or status.get("phase") in {"Succeeded", "Failed"}:
        return None
    for container in (
        *(status.get("initContainerStatuses") or ()),
        *(status.get("containerStatuses") or ()),
    ):
        waiting = (container.get("state") or {}).get("waiting") or {}
        reason = waiting.get("reason", "")
        if reason in WAITING_REASONS_OF_TROUBLE:
            said = _last_words(container) or waiting.get("message", "")
            stable = STABLE_REASONS.get(reason, reason)
            if any(words in said for words in WORDS_OF_A_FULL_DISK):
                stable, said = DISK_FULL, f"its volume is full; raise its storage.size: {said}"
            return _trouble(pod, stable, f"container {container['name']}: {said}")
    for condition in status.get("conditions") or ():
        if condition.get("reason") == "Unschedulable" and _has_lasted(condition, now):
            return _trouble(pod, "Unschedulable", condition.get("message", ""))
        is_placed = condition["type"] == "PodScheduled" and condition["status"] == "True"
        if is_placed and _is_unstarted(status) and _has_lasted(condition, now, START_SECONDS):
            return _trouble(pod, NOT_STARTED, "waits for its image or its volumes; see its Events")
    return None


def _is_unstarted(status: dict[str, Any]) -> bool:
    """Whether none of a pod's containers has begun: its image or its volumes are not there yet."""
    containers = (
        *(status.get("initContainerStatuses") or ()),
        *(status.get("containerStatuses") or ()),
    )
    return bool(containers) and all(
        "waiting" in (each.get("state") or {}) and not each.get("lastState") for each in containers
    )


def _has_lasted(
    condition: dict[str, Any], now: datetime, seconds: float = PATIENCE_SECONDS
) -> bool:
    since = condition.get("lastTransitionTime")
    return since is not None and (now - from_timestamp(since)).total_seconds() >= seconds


def _trouble_of_workload(workload: Manifest) -> Trouble | None:
    failed = condition_of(workload, "ReplicaFailure")
    if failed is None:
        return None
    return Trouble(
        component=component_of(workload),
        reason=failed.get("reason", "ReplicaFailure"),
        message=_shortened(failed.get("message", "")),
    )


def _trouble(pod: Manifest, reason: str, message: str) -> Trouble:
    told = f"pod {pod['metadata']['name']}: {message}"
    return Trouble(component=component_of(pod), reason=reason, message=_shortened(told))


def _last_words(container: dict[str, Any]) -> str:
    """Return how a container ended that is waiting to be started again."""
    ended = (container.get("lastState") or {}).get("terminated") or {}
    if not ended:
        return ""
    said = (ended.get("message") or "").strip().splitlines()
    return f"exit code {ended.get('exitCode')} ({ended.get('reason')}): {said[-1] if said else ''}"


def last_words_of(pods: Iterable[Manifest], component: str) -> str:
    """Return the last line that a failed pod of a component wrote; empty when there is none."""
    for pod in pods:
        status = pod.get("status") or {}
        if component_of(pod) != component:
            continue
        for container in (
            *(status.get("initContainerStatuses") or ()),
            *(status.get("containerStatuses") or ()),
        ):
            ended = (container.get("state") or {}).get("terminated") or {}
            said = (ended.get("message") or "").strip().splitlines()
            if ended.get("exitCode") and said:
                return _shortened(said[-1])
    return ""


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST_TROUBLE else text[: LONGEST_TROUBLE - 1] + "…"
