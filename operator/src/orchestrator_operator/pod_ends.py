"""How worker pods end, read from their JSON: pure functions.

A container that ended is told by the kubelet until its pod is gone; a pod that was evicted stays
as a failed one; one that is deleted is seen to be going, or is missing at the next look.

Before: ``scaling_kubernetes`` lists the pods.
After: ``recording`` has what is new of it kept.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Final

from orchestrator_core.pools import MAX_MESSAGE_CHARACTERS, PodEnd
from orchestrator_operator.kinds import Manifest
from orchestrator_operator.workloads import condition_of

DELETED: Final = "Deleted"
_TELLING: Final = {"ContainerStatusUnknown": "ContainerLost"}
"""Kubernetes' words that tell nothing, and what they mean: the container was not found any more."""
_MAX_REASON_CHARACTERS: Final = 100


def find_ends(pod: Manifest, *, seen_at: datetime) -> tuple[PodEnd, ...]:
    """Return how its containers ended, and what ends the pod, as far as it tells.

    Args:
        pod: as the API server has it; what the kubelet has not filled in is left out.
        seen_at: stands for the time of an end that bears none.
    """
    return (*_ends_of_containers(pod), *_end_of_pod(pod, seen_at))


def find_absence(pod: Manifest, *, seen_at: datetime) -> PodEnd:
    """Return the end of a pod that was there before and is not any more."""
    return _whole(pod, DELETED, "the pod is gone", seen_at)


def _ends_of_containers(pod: Manifest) -> Iterator[PodEnd]:
    for container in (pod.get("status") or {}).get("containerStatuses") or ():
        for state in ("lastState", "state"):
            ended: dict[str, Any] = (container.get(state) or {}).get("terminated") or {}
            # Without both times nobody can say which process that was.
            if ended.get("startedAt") and ended.get("finishedAt"):
                yield PodEnd(
                    pod_uid=pod["metadata"]["uid"],
                    pod_name=pod["metadata"]["name"],
                    container=container["name"],
                    began_at=datetime.fromisoformat(ended["startedAt"]),
                    ended_at=datetime.fromisoformat(ended["finishedAt"]),
                    reason=_to_reason(ended.get("reason"), ended["exitCode"]),
                    exit_code=ended["exitCode"],
                    message=_to_message(ended.get("message")),
                )


def _end_of_pod(pod: Manifest, seen_at: datetime) -> Iterator[PodEnd]:
    status = pod.get("status") or {}
    disruption = condition_of(pod, "DisruptionTarget") or {}
    told_at = disruption.get("lastTransitionTime")
    at = datetime.fromisoformat(told_at) if told_at else None
    if status.get("phase") == "Failed" and status.get("reason"):
        yield _whole(pod, status["reason"], status.get("message"), at or seen_at)
    elif disruption:
        yield _whole(pod, disruption.get("reason"), disruption.get("message"), at or seen_at)
    elif pod["metadata"].get("deletionTimestamp"):
        yield _whole(pod, DELETED, "the pod was asked to end", _asked_at(pod))


def _asked_at(pod: Manifest) -> datetime:
    """Return when a pod was deleted: its time of deletion is when its grace is over."""
    metadata = pod["metadata"]
    grace = timedelta(seconds=metadata.get("deletionGracePeriodSeconds") or 0)
    return datetime.fromisoformat(metadata["deletionTimestamp"]) - grace


def _whole(pod: Manifest, reason: str | None, message: str | None, at: datetime) -> PodEnd:
    return PodEnd(
        pod_uid=pod["metadata"]["uid"],
        pod_name=pod["metadata"]["name"],
        container="",
        began_at=datetime.fromisoformat(pod["metadata"]["creationTimestamp"]),
        ended_at=at,
        reason=(reason or DELETED)[:_MAX_REASON_CHARACTERS],
        exit_code=None,
        message=_to_message(message),
    )


def _to_reason(reason: str | None, exit_code: int) -> str:
    said = reason or ("Completed" if exit_code == 0 else "Error")
    return _TELLING.get(said, said)[:_MAX_REASON_CHARACTERS]


def _to_message(message: str | None) -> str:
    """Bound it, without what a text column can't hold; the last words are the ones that tell."""
    storable = (message or "").replace("\x00", "").encode("utf-8", "replace").decode("utf-8")
    return storable.strip()[-MAX_MESSAGE_CHARACTERS:]
