"""A task's owner learns what it waits for, and what became of the pod that ran it."""

import time
from typing import Any

import pytest

from platform_under_test import Api, Platform, kill_process_one, wait_until

TOLD_SECONDS = 30.0
LEASE_SECONDS = 60.0


def explain(api: Api, task_id: int) -> dict[str, Any]:
    answer = api.http.get(f"/api/v1/tasks/{task_id}/explain", headers=api.headers)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def await_reason(api: Api, task_id: int, *reasons: str, seconds: float) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        told = explain(api, task_id)
        return told if told["reason"] in reasons else None

    return wait_until(look, seconds=seconds, what=f"task {task_id} to be one of {reasons}")


def await_running(platform: Platform, pod_name: str) -> dict[str, Any]:
    """Return a pod once the kubelet tells that it runs: its worker may have claimed before."""

    def look() -> dict[str, Any] | None:
        pod: dict[str, Any] = platform.get("pod", pod_name)
        return pod if pod["status"].get("phase") == "Running" else None

    return wait_until(look, seconds=TOLD_SECONDS, what=f"pod {pod_name} to be told as running")


def test_a_lost_attempt_shows_how_its_container_ended(platform: Platform, api: Api) -> None:
    task_id = api.submit("demo_sleep", seconds=20)
    running = await_reason(api, task_id, "RUNNING", seconds=TOLD_SECONDS)
    [attempt] = running["attempts"]
    pod = await_running(platform, attempt["pod"])
    kill_process_one(platform, pod, "worker")

    lost = wait_until(
        lambda: (found := explain(api, task_id)["attempts"][0])["pod_end"] and found,
        seconds=TOLD_SECONDS,
        what="the operator to tell of the container's end",
    )
    told = api.await_final(task_id, seconds=LEASE_SECONDS + 60)
    ended = explain(api, task_id)

    assert (lost["end"], lost["pod"]) == ("WORKER_LOST", attempt["pod"])
    assert (lost["pod_end"]["container"], lost["pod_end"]["exit_code"]) == ("worker", 137)
    assert lost["started_at"] <= lost["ended_at"]
    assert (told["status"], ended["reason"]) == ("COMPLETED", "COMPLETED")
    assert [each["end"] for each in ended["attempts"]] == ["WORKER_LOST", "COMPLETED"]


def test_an_attempt_that_was_lost_with_its_pod_says_that_the_pod_is_gone(
    platform: Platform, api: Api
) -> None:
    task_id = api.submit("demo_sleep", seconds=20)
    [attempt] = await_reason(api, task_id, "RUNNING", seconds=TOLD_SECONDS)["attempts"]
    # As when a node is lost: nobody waits for what runs there.
    platform.kubectl("delete", "pod", attempt["pod"], "--grace-period=0", "--force")

    task = api.await_final(task_id, seconds=LEASE_SECONDS + 60)
    lost, last = explain(api, task_id)["attempts"]

    assert (task["status"], last["end"]) == ("COMPLETED", "COMPLETED")
    assert (lost["end"], lost["pod"]) == ("WORKER_LOST", attempt["pod"])
    assert (lost["pod_end"]["reason"], lost["pod_end"]["container"]) == ("Deleted", None)


def test_who_waits_for_a_full_pool_is_told_the_cap_the_place_and_a_time(
    platform: Platform, api: Api
) -> None:
    spec = platform.resource()["spec"]["worker"]
    platform.scale_by(max=1)
    try:
        # Before the operator has heard of it, the pool may grow; and what went before may have
        # left more than one worker, with room for all.
        platform.await_ready(seconds=30)
        wait_until(
            lambda: len(platform.list("pods", component="worker")) <= 1,
            seconds=60,
            what="one worker at most",
        )
        # Some short ones are measured; the long ones take every slot of the only worker.
        api.await_all_completed(
            [api.submit("demo_sleep", seconds=0.5) for _ in range(4)], seconds=90
        )
        ids = [api.submit("demo_sleep", seconds=15) for _ in range(spec["concurrency"] + 2)]
        last = await_reason(api, ids[-1], "POOL_AT_CAP", seconds=90)

        assert last["pool"]["max_workers"] == 1
        assert last["queue"]["position"] <= last["queue"]["waiting"]
        assert last["expected_start_at"] > last["read_at"]
        assert last["expectation"].startswith("Measured: the latest ")
        api.await_all_completed(ids, seconds=120)
    finally:
        platform.scale_by(max=spec["scaling"]["max"])


@pytest.mark.usefixtures("platform")
def test_a_task_whose_time_has_not_come_says_when_it_will(api: Api) -> None:
    run_at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
    answer = api.http.post(
        "/api/v1/tasks",
        json={"task_type": "demo_sleep", "run_at": run_at},
        headers=api.headers,
    )

    task_id = answer.json()["task_id"]
    told = explain(api, task_id)
    # Others count what is left.
    api.http.post(f"/api/v1/tasks/{task_id}/cancel", headers=api.headers)

    assert (told["reason"], told["due_at"], told["attempts"]) == ("SCHEDULED", run_at, [])


def test_the_operator_tells_of_the_pool_as_the_resource_wants_it(
    platform: Platform, api: Api
) -> None:
    scaling = platform.resource()["spec"]["worker"]["scaling"]
    wanted = (scaling["mode"], scaling["min"], scaling["max"])
    task_id = api.submit("demo_sleep", seconds=TOLD_SECONDS + 10)

    def look() -> bool:
        pool = explain(api, task_id)["pool"]
        return (pool["mode"], pool["min_workers"], pool["max_workers"]) == wanted

    wait_until(look, seconds=TOLD_SECONDS, what=f"the operator to tell of {wanted}")
    api.http.post(f"/api/v1/tasks/{task_id}/cancel", headers=api.headers)

    assert await_reason(api, task_id, "CANCELLED", seconds=1)["pool"] is None
