"""A wait in vain ends with the reasons, and with nothing that is as it should be."""

from typing import Any

from hack.stack.diagnosing import describe_pods, describe_resources, describe_warnings


def a_pod(name: str, *, phase: str = "Running", is_ready: bool = False, **status: Any) -> Any:
    conditions = [{"type": "Ready", "status": str(is_ready)}, *status.pop("conditions", [])]
    return {
        "metadata": {"name": name},
        "status": {"phase": phase, "conditions": conditions, **status},
    }


def a_waiting_container(name: str, reason: str, message: str = "") -> Any:
    return {"name": name, "state": {"waiting": {"reason": reason, "message": message}}}


def a_warning(message: str, *, at: str) -> Any:
    return {
        "type": "Warning",
        "message": message,
        "lastTimestamp": at,
        "involvedObject": {"name": "api"},
    }


def test_pods_that_are_ready_or_done_are_left_out() -> None:
    pods = [a_pod("ready", is_ready=True), a_pod("done", phase="Succeeded")]

    assert list(describe_pods(pods)) == []


def test_a_pod_whose_image_is_missing_says_so() -> None:
    waiting = a_waiting_container("api", "ErrImagePull", "not found")
    pod = a_pod("api-1", phase="Pending", containerStatuses=[waiting])

    assert list(describe_pods([pod])) == ["pod api-1 Pending: api ErrImagePull (not found)"]


def test_a_pod_without_a_node_says_what_it_lacks() -> None:
    unscheduled = {"type": "PodScheduled", "status": "False", "message": "Insufficient memory"}
    pod = a_pod("postgres-0", phase="Pending", conditions=[unscheduled])

    assert list(describe_pods([pod])) == ["pod postgres-0 Pending: Insufficient memory"]


def test_an_init_container_that_is_done_is_no_reason() -> None:
    done = {"name": "migrate", "state": {"terminated": {"reason": "Completed"}}}
    pod = a_pod("job", initContainerStatuses=[done])

    assert list(describe_pods([pod])) == ["pod job Running: not ready"]


def test_only_conditions_that_do_not_hold_are_named() -> None:
    ready = {"type": "Ready", "status": "False", "reason": "Waiting", "message": "for Postgres"}
    fine = {"type": "RabbitMQReady", "status": "True"}
    ordinary = {"type": "Paused", "status": "False"}
    resource = {"metadata": {"name": "demo"}, "status": {"conditions": [ready, fine, ordinary]}}

    assert list(describe_resources([resource])) == [
        "orchestrator demo: Ready=False Waiting: for Postgres"
    ]


def test_a_resource_that_nobody_looked_at_points_to_the_operator() -> None:
    (line,) = describe_resources([{"metadata": {"name": "demo"}}])

    assert "the operator has not looked at it yet" in line


def test_each_warning_is_shown_once_and_the_newest_last() -> None:
    events = [
        a_warning("probe failed", at="2030-01-01T00:00:03Z"),
        a_warning("no volume", at="2030-01-01T00:00:02Z"),
        a_warning("probe failed", at="2030-01-01T00:00:01Z"),
        {"type": "Normal", "message": "Pulled", "involvedObject": {"name": "api"}},
    ]

    assert list(describe_warnings(events)) == [
        "warning about api: no volume",
        "warning about api: probe failed",
    ]
