"""Reading pods and the Deployment, and writing no more than scaling owns."""

from datetime import UTC, datetime
from typing import Any

import pytest

from orchestrator_operator.scaling_kubernetes import to_worker_pod

CREATED = "2026-01-01T00:00:00Z"
READY = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:04Z"}
NOT_READY = {**READY, "status": "False"}


def a_pod(**status: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "worker-1", "creationTimestamp": CREATED, "annotations": {}},
        "status": {"phase": "Running", **status},
    }


def a_container(*, waiting: str | None = None, **others: Any) -> dict[str, Any]:
    state = {"waiting": {"reason": waiting}} if waiting else {"running": {}}
    return {"name": "worker", "restartCount": 0, "ready": False, "state": state, **others}


def test_a_ready_pod_tells_when_it_was_made_and_became_ready() -> None:
    pod = to_worker_pod(a_pod(conditions=[READY]))

    assert pod.created_at == datetime(2026, 1, 1, tzinfo=UTC)
    assert pod.ready_at == datetime(2026, 1, 1, 0, 0, 4, tzinfo=UTC)
    assert not pod.is_failing


def test_a_pod_that_nobody_has_looked_at_is_not_ready() -> None:
    pod = a_pod()
    del pod["status"]

    assert not to_worker_pod(pod).is_ready


@pytest.mark.parametrize(
    ("status", "is_failing"),
    [
        ({"containerStatuses": [a_container(waiting="CrashLoopBackOff")]}, True),
        ({"containerStatuses": [a_container(waiting="ImagePullBackOff")]}, True),
        ({"initContainerStatuses": [a_container(waiting="ErrImagePull")]}, True),
        ({"containerStatuses": [a_container(waiting="ContainerCreating")]}, False),
        (
            {"containerStatuses": [a_container(restartCount=2, lastState={"terminated": {}})]},
            True,
        ),
        (
            {"containerStatuses": [a_container(restartCount=1, lastState={"terminated": {}})]},
            False,
        ),
        (
            {
                "conditions": [READY],
                "containerStatuses": [
                    a_container(restartCount=9, lastState={"terminated": {}}, ready=True)
                ],
            },
            False,
        ),
        ({"conditions": [NOT_READY], "containerStatuses": [a_container()]}, False),
    ],
)
def test_a_pod_fails_when_another_one_would_fail_too(
    status: dict[str, Any],
    is_failing: bool,  # noqa: FBT001 - a column of the table
) -> None:
    assert to_worker_pod(a_pod(**status)).is_failing is is_failing


@pytest.mark.parametrize(("text", "cost"), [("-1000", -1000), ("7", 7), ("many", 0)])
def test_the_deletion_cost_is_read_from_the_annotation(text: str, cost: int) -> None:
    pod = a_pod()
    pod["metadata"]["annotations"]["controller.kubernetes.io/pod-deletion-cost"] = text

    assert to_worker_pod(pod).deletion_cost == cost
