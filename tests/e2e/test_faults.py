"""Faults that lose no task: a killed worker, a wiped broker, a killed operator."""

import json

import pytest

from owned_objects import await_order, read_owned
from platform_under_test import Api, Platform, kill_process_one, kubectl, wait_until

RELEASE_SECONDS = 60.0
"""A lease is 30 s; the sweep rings within a second of its end."""


def test_a_worker_killed_in_the_middle_of_a_task_loses_nothing(
    platform: Platform, api: Api
) -> None:
    # Longer than it takes to kill every worker, one after the other.
    task_id = api.submit("demo_sleep", seconds=15)
    wait_until(
        lambda: api.task(task_id)["status"] == "PROCESSING", seconds=30, what="a worker to claim"
    )
    for pod in platform.list("pods", component="worker"):
        if pod["status"].get("phase") == "Running" and not pod["metadata"].get("deletionTimestamp"):
            kill_process_one(platform, pod, "worker")

    task = api.await_final(task_id, seconds=RELEASE_SECONDS + 30)

    assert task["status"] == "COMPLETED"
    assert task["attempts"] == 2


def test_a_broker_that_lost_its_volume_loses_no_task(platform: Platform, api: Api) -> None:
    pod, volume = f"{platform.name}-rabbitmq-0", f"data-{platform.name}-rabbitmq-0"
    before = platform.get("pvc", volume)["metadata"]["uid"]
    ids = [api.submit("demo_sleep", seconds=1) for _ in range(40)]

    platform.kubectl("delete", "pvc", volume, "--wait=false")
    platform.kubectl("delete", "pod", pod, "--grace-period=0", "--force")
    ids += [api.submit("demo_sleep", seconds=0.1) for _ in range(10)]

    api.await_all_completed(ids, seconds=180)
    assert platform.get("pvc", volume)["metadata"]["uid"] != before


@pytest.mark.alone
def test_an_operator_killed_in_the_middle_of_a_pass_converges(platform: Platform) -> None:
    owned = read_owned(platform)
    [operator] = json.loads(
        kubectl(
            "get", "pods", "-A", "-l", "app.kubernetes.io/name=orchestrator-operator", "-o", "json"
        )
    )["items"]
    platform.merge("orchestrator", platform.name, {"spec": {"worker": {"concurrency": 3}}})
    kill_process_one(platform, operator, "operator")

    platform.await_ready(seconds=90)

    [container] = platform.get("deployment", f"{platform.name}-worker")["spec"]["template"]["spec"][
        "containers"
    ]
    values = {each["name"]: each.get("value") for each in container["env"]}
    assert values["ORCHESTRATOR_WORKER_CONCURRENCY"] == "3"
    await_order(platform, owned)


@pytest.mark.parametrize("part", ["api", "postgres", "redis"])
def test_a_deleted_pod_comes_back(platform: Platform, part: str) -> None:
    before = {pod["metadata"]["uid"] for pod in platform.list("pods", component=part)}
    platform.kubectl("delete", "pods", "-l", f"app.kubernetes.io/component={part}", "--wait=false")

    wait_until(
        lambda: before.isdisjoint(
            pod["metadata"]["uid"] for pod in platform.list("pods", component=part)
        ),
        seconds=90,
        what=f"the {part} pods to be replaced",
    )
    platform.await_ready(seconds=90)
