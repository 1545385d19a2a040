"""What status says in situations that a happy pass does not meet."""

from datetime import timedelta
from typing import Any

import pytest

from operator_testing.no_pool import NoPool
from operator_testing.world import NAME, NAMESPACE, START, World
from orchestrator_operator.conditions import Fact
from orchestrator_operator.kinds import Manifest
from orchestrator_operator.names import labels
from orchestrator_operator.status import ScalingView


def a_pod(component: str, status: dict[str, Any]) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"{NAME}-{component}-x",
            "namespace": NAMESPACE,
            "labels": labels(NAME, component),
        },
        "status": status,
    }


def waiting(reason: str, message: str = "", /, **last: Any) -> dict[str, Any]:
    container: dict[str, Any] = {
        "name": "main",
        "state": {"waiting": {"reason": reason, "message": message}},
    }
    if last:
        container["lastState"] = {"terminated": last}
    return {"containerStatuses": [container]}


async def a_world_whose_api_is_not_ready() -> World:
    world = World()
    await world.settle()
    deployment = world.child("Deployment", "api")
    status = {**deployment["status"], "readyReplicas": 0}
    world.cluster.set_status("Deployment", NAMESPACE, f"{NAME}-api", status)
    return world


@pytest.mark.parametrize(
    ("status", "reason", "words"),
    [
        (waiting("ImagePullBackOff", "no such image: api:9"), "ImagePullBackOff", "api:9"),
        (waiting("ErrImagePull", "no such image: api:9"), "ImagePullBackOff", "api:9"),
        (
            waiting(
                "CrashLoopBackOff",
                "back-off 40s",
                exitCode=2,
                reason="Error",
                message="first line\nJWT_SECRET is missing\n",
            ),
            "CrashLoopBackOff",
            "JWT_SECRET is missing",
        ),
        (
            waiting("CrashLoopBackOff", "back-off", exitCode=137, reason="OOMKilled"),
            "CrashLoopBackOff",
            "OOMKilled",
        ),
        (
            waiting(
                "CrashLoopBackOff",
                "back-off",
                exitCode=1,
                reason="Error",
                message='PANIC:  could not write to file "pg_wal/x": No space left on device',
            ),
            "DiskFull",
            "raise its storage.size",
        ),
        (
            {
                **waiting("ContainerCreating", ""),
                "conditions": [
                    {
                        "type": "PodScheduled",
                        "status": "True",
                        "lastTransitionTime": (START - timedelta(minutes=3)).isoformat(),
                    }
                ],
            },
            "PodNotStarted",
            "waits for its image or its volumes",
        ),
        (
            {
                "phase": "Pending",
                "conditions": [
                    {
                        "type": "PodScheduled",
                        "status": "False",
                        "reason": "Unschedulable",
                        "message": "0/1 nodes are available: 1 Insufficient memory",
                        "lastTransitionTime": (START - timedelta(minutes=1)).isoformat(),
                    }
                ],
            },
            "Unschedulable",
            "Insufficient memory",
        ),
    ],
)
async def test_ready_repeats_what_keeps_a_pod_from_running(
    status: dict[str, Any], reason: str, words: str
) -> None:
    world = await a_world_whose_api_is_not_ready()
    world.cluster.put(a_pod("api", status))

    await world.make_pass()

    assert world.condition("Ready") == ("False", reason)
    assert world.condition("Degraded") == ("True", reason)
    assert world.condition("ApiReady") == ("False", reason)
    assert words in world.message("Ready")


async def test_a_pod_that_only_waits_for_its_new_volume_is_no_trouble() -> None:
    world = await a_world_whose_api_is_not_ready()
    condition = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": "pod has unbound immediate PersistentVolumeClaims",
        "lastTransitionTime": world.now.isoformat(),
    }
    world.cluster.put(a_pod("api", {"phase": "Pending", "conditions": [condition]}))

    await world.make_pass()

    assert world.condition("Degraded")[0] == "False"


async def test_a_quota_that_refuses_pods_is_told() -> None:
    world = await a_world_whose_api_is_not_ready()
    deployment = world.child("Deployment", "api")
    failure = {
        "type": "ReplicaFailure",
        "status": "True",
        "reason": "FailedCreate",
        "message": "exceeded quota: team",
    }
    status = {**deployment["status"], "conditions": [failure]}
    world.cluster.set_status("Deployment", NAMESPACE, f"{NAME}-api", status)

    await world.make_pass()

    assert world.condition("Ready") == ("False", "FailedCreate")
    assert "exceeded quota" in world.message("Ready")


async def test_available_needs_what_a_client_needs_and_no_more() -> None:
    world = World()
    await world.settle()
    for name, is_needed in (("redis", False), ("postgres", True)):
        workload = world.child("StatefulSet", name)
        status = {**workload["status"], "readyReplicas": 0}
        world.cluster.set_status("StatefulSet", NAMESPACE, f"{NAME}-{name}", status)

        await world.make_pass()

        assert world.condition("Available")[0] == ("False" if is_needed else "True")
        assert world.condition("Ready")[0] == "False"
    assert "postgres" in world.message("Available")


async def test_workers_that_come_and_go_leave_it_ready() -> None:
    world = World()
    await world.settle()
    worker = world.child("Deployment", "worker")
    spec = {**worker["spec"], "replicas": 4}
    world.cluster.put({**worker, "spec": spec})
    generation = world.child("Deployment", "worker")["metadata"]["generation"]
    status = {"observedGeneration": generation, "replicas": 4, "updatedReplicas": 4}
    world.cluster.set_status("Deployment", NAMESPACE, f"{NAME}-worker", status)

    await world.make_pass()

    assert world.condition("Ready")[0] == "True"
    assert world.resource["status"]["worker"]["replicas"] == 4


async def test_fixed_workers_must_all_be_ready() -> None:
    world = World({"worker": {"replicas": 2, "scaling": {"mode": "Fixed"}}})
    await world.settle()
    worker = world.child("Deployment", "worker")
    world.cluster.set_status(
        "Deployment", NAMESPACE, f"{NAME}-worker", {**worker["status"], "readyReplicas": 1}
    )

    await world.make_pass()

    assert world.condition("WorkersReady") == ("False", "Starting")
    assert world.condition("Ready")[0] == "False"


async def test_a_conditions_time_moves_only_when_its_status_does() -> None:
    world = World()
    await world.settle()
    before = {item["type"]: item for item in world.resource["status"]["conditions"]}

    world.now += timedelta(hours=1)
    world.edit(api={"replicas": 4})
    await world.make_pass()

    after = {item["type"]: item for item in world.resource["status"]["conditions"]}
    assert after["PostgresReady"] == {**before["PostgresReady"], "observedGeneration": 2}
    turned = after["Ready"]["lastTransitionTime"]
    assert turned != before["Ready"]["lastTransitionTime"]


async def test_no_condition_is_there_twice_and_ready_is_among_them() -> None:
    world = World()
    await world.settle()

    types = [item["type"] for item in world.resource["status"]["conditions"]]

    assert len(types) == len(set(types))
    assert {"Ready", "Available", "Progressing", "Degraded", "ScalingActive"} <= set(types)


async def test_the_autoscalers_findings_are_copied() -> None:
    view = ScalingView(
        active=Fact("ReadingsFresh", "read", is_true=True),
        limited=Fact("TooManyReplicas", "asks for more than max", is_true=True),
        desired_replicas=9,
        queued_tasks=41,
        last_scale_time=START,
        reason="3→9: 41 ready",
    )
    world = World()
    world.companion.pool = NoPool(view)
    await world.settle()

    assert world.condition("ScalingActive") == ("True", "ReadingsFresh")
    assert world.condition("ScalingLimited") == ("True", "TooManyReplicas")
    assert world.resource["status"]["worker"] == {
        "replicas": 9,
        "selector": (
            "app.kubernetes.io/component=worker,app.kubernetes.io/instance=demo,"
            "app.kubernetes.io/name=orchestrator"
        ),
        "desired": 9,
        "queued": 41,
        "lastScaleTime": "2026-01-01T00:00:00Z",
        "reason": "3→9: 41 ready",
    }


async def test_scaling_that_fails_makes_it_degraded() -> None:
    fault = Fact("LoadUnavailable", "postgres did not answer", is_true=False)
    world = World()
    world.companion.pool = NoPool(ScalingView(active=fault, is_faulty=True))
    await world.settle()

    assert world.condition("Degraded") == ("True", "LoadUnavailable")
    assert world.condition("Ready") == ("False", "LoadUnavailable")
    # The autoscaler has told it already.
    assert "LoadUnavailable" not in [event["reason"] for event in world.cluster.events]


async def test_events_tell_turns_once() -> None:
    world = World()
    await world.settle()

    told = [event["reason"] for event in world.cluster.events]

    assert told.count("Ready") == 1
    assert "Applied" in told
    world.restart_the_operator()
    await world.make_pass()
    assert [event["reason"] for event in world.cluster.events] == told
