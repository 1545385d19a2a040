"""Reading pods and the Deployment, and writing no more than scaling owns."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from structlog.testing import capture_logs

from operator_testing.fake_cluster import FakeCluster
from orchestrator_operator.applying import ObjectRefusedError
from orchestrator_operator.kinds import Manifest
from orchestrator_operator.names import labels
from orchestrator_operator.scaling_kubernetes import KubernetesWorkers, to_worker_pod

LABELS = {"app.kubernetes.io/instance": "demo", "app.kubernetes.io/component": "worker"}
RESOURCE = {
    "apiVersion": "taskorchestrator.dev/v1alpha1",
    "kind": "Orchestrator",
    "metadata": {"name": "demo", "namespace": "team", "uid": "uid-of-demo"},
}
COST_ANNOTATION = "controller.kubernetes.io/pod-deletion-cost"
CREATED = "2026-01-01T00:00:00Z"
READY = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:04Z"}
NOT_READY = {**READY, "status": "False"}


def a_pod(name: str = "worker-1", **status: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": "team",
            "creationTimestamp": CREATED,
            "labels": dict(LABELS),
            "annotations": {},
        },
        "status": {"phase": "Running", **status},
    }


def a_container(*, waiting: str | None = None, **others: Any) -> dict[str, Any]:
    state = {"waiting": {"reason": waiting}} if waiting else {"running": {}}
    return {"name": "worker", "restartCount": 0, "ready": False, "state": state, **others}


def an_owner(kind: str, uid: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": kind, "name": "demo", "uid": uid, "controller": True}


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


@pytest.fixture
def cluster() -> FakeCluster:
    """A cluster with the worker Deployment of ``demo``: two replicas, up to date."""
    cluster = FakeCluster()
    cluster.put(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {
                "name": "demo-worker",
                "namespace": "team",
                "labels": labels("demo", "worker"),
            },
            "spec": {"replicas": 2, "selector": {"matchLabels": LABELS}, "paused": False},
        }
    )
    set_status(cluster)
    return cluster


def set_status(cluster: FakeCluster, **changes: int) -> None:
    status = {"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, **changes}
    cluster.set_status("Deployment", "team", "demo-worker", status)


async def test_living_pods_of_this_resource_are_observed(cluster: FakeCluster) -> None:
    going, stranger = a_pod("going"), a_pod("stranger")
    going["metadata"]["deletionTimestamp"] = CREATED
    stranger["metadata"]["labels"]["app.kubernetes.io/instance"] = "other"
    for pod in (a_pod("a", conditions=[READY]), a_pod("b"), going, stranger):
        cluster.put(pod)
    cluster.put(a_pod("evicted", phase="Failed"))

    workers = await KubernetesWorkers(cluster, resource=RESOURCE).observe_workers()

    assert workers is not None
    assert workers.replicas == 2
    assert [(pod.name, pod.is_ready) for pod in workers.pods] == [("a", True), ("b", False)]


@pytest.mark.parametrize(
    ("status", "is_rolling_out"),
    [
        ({}, False),
        ({"updatedReplicas": 1}, True),
        ({"observedGeneration": 0}, True),
        ({"replicas": 0, "updatedReplicas": 0}, False),
    ],
    ids=["all new", "some old", "not looked at yet", "nobody there"],
)
async def test_a_rollout_is_seen(
    cluster: FakeCluster,
    status: dict[str, int],
    is_rolling_out: bool,  # noqa: FBT001 - a column of the table
) -> None:
    set_status(cluster, **status)

    workers = await KubernetesWorkers(cluster, resource=RESOURCE).observe_workers()

    assert workers is not None
    assert workers.is_rolling_out is is_rolling_out


async def test_without_a_deployment_there_are_no_workers() -> None:
    assert await KubernetesWorkers(FakeCluster(), resource=RESOURCE).observe_workers() is None


@pytest.mark.parametrize(
    "changes",
    [
        {"labels": {"app": "theirs"}},
        {"ownerReferences": [an_owner("Orchestrator", "uid-of-the-former")]},
        {"ownerReferences": [an_owner("Rollout", "uid-of-theirs")]},
    ],
    ids=["not labelled as ours", "of a former resource", "of somebody else"],
)
async def test_a_deployment_of_somebody_else_is_none_of_its_workers(
    cluster: FakeCluster, changes: dict[str, Any]
) -> None:
    deployment = cluster.objects["Deployment", "team", "demo-worker"]
    cluster.put({**deployment, "metadata": {**deployment["metadata"], **changes}})

    assert await KubernetesWorkers(cluster, resource=RESOURCE).observe_workers() is None


async def test_a_deployment_that_the_resource_owns_has_its_workers(cluster: FakeCluster) -> None:
    deployment = cluster.objects["Deployment", "team", "demo-worker"]
    owned = {"ownerReferences": [an_owner("Orchestrator", "uid-of-demo")]}
    cluster.put({**deployment, "metadata": {**deployment["metadata"], **owned}})

    assert await KubernetesWorkers(cluster, resource=RESOURCE).observe_workers() is not None


async def test_replicas_are_written_and_owned_and_nothing_else(cluster: FakeCluster) -> None:
    await KubernetesWorkers(cluster, resource=RESOURCE).set_replicas(5)

    key = ("Deployment", "team", "demo-worker")
    assert cluster.objects[key]["spec"]["replicas"] == 5
    assert cluster.objects[key]["spec"]["paused"] is False
    assert cluster.owners[key] == {"orchestrator-autoscaler": {("spec", "replicas")}}


async def test_deletion_costs_are_set_and_removed(cluster: FakeCluster) -> None:
    cluster.put(a_pod("a"))
    cluster.put(a_pod("b"))
    workers = KubernetesWorkers(cluster, resource=RESOURCE)

    await workers.set_deletion_costs({"a": -1000, "b": -1000})
    await workers.set_deletion_costs({"b": 0, "gone": 0})

    annotations = {name: cluster.objects["Pod", "team", name]["metadata"] for name in "ab"}
    assert annotations["a"]["annotations"] == {COST_ANNOTATION: "-1000"}
    assert annotations["b"]["annotations"] == {}


async def test_events_are_about_the_resource(cluster: FakeCluster) -> None:
    workers = KubernetesWorkers(cluster, resource=RESOURCE)

    await workers.emit_event("ScaledOut", "3→9: 41 ready")
    await workers.emit_event("LoadUnavailable", "held", is_warning=True)

    told = [(each["type"], each["reason"], each["message"]) for each in cluster.events]
    assert told == [
        ("Normal", "ScaledOut", "3→9: 41 ready"),
        ("Warning", "LoadUnavailable", "held"),
    ]
    assert cluster.events[0]["involvedObject"]["uid"] == "uid-of-demo"


async def test_an_event_that_is_refused_stops_nothing(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object, **__: object) -> None:
        raise ObjectRefusedError(
            "create Event", status=403, message="the namespace is being terminated", causes=()
        )

    monkeypatch.setattr(cluster, "emit_event", refuse)

    with capture_logs() as logs:
        await KubernetesWorkers(cluster, resource=RESOURCE).emit_event("ScaledOut", "3→9")

    assert [(line["event"], line["reason"]) for line in logs] == [("event_lost", "ScaledOut")]


async def test_every_list_of_pods_is_shown_with_those_that_have_ended(
    cluster: FakeCluster,
) -> None:
    shown: list[list[str]] = []
    for pod in (a_pod("worker-1"), a_pod("worker-2", phase="Failed")):
        cluster.put(pod)

    def show(pods: Sequence[Manifest]) -> None:
        shown.append([pod["metadata"]["name"] for pod in pods])

    observed = await KubernetesWorkers(cluster, resource=RESOURCE, show=show).observe_workers()

    assert shown == [["worker-1", "worker-2"]]
    assert observed is not None
    assert [pod.name for pod in observed.pods] == ["worker-1"]
