"""Ends are read from a pod's JSON, each with a key that stays and a reason that tells something."""

from datetime import UTC, datetime
from typing import Any

import pytest

from orchestrator_core.pools import MAX_MESSAGE_CHARACTERS, PodEnd
from orchestrator_operator.pod_ends import find_absence, find_ends

SEEN = datetime(2026, 1, 1, 0, 30, tzinfo=UTC)
CREATED = datetime(2026, 1, 1, tzinfo=UTC)
BEGAN, FINISHED = "2026-01-01T00:01:00Z", "2026-01-01T00:02:00Z"
DISRUPTED = {
    "type": "DisruptionTarget",
    "status": "True",
    "reason": "EvictionByEvictionAPI",
    "message": "Eviction API: evicting",
    "lastTransitionTime": "2026-01-01T00:10:00Z",
}


def a_pod(*containers: dict[str, Any], metadata: Any = None, **status: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "name": "demo-worker-1",
            "uid": "uid-1",
            "creationTimestamp": "2026-01-01T00:00:00Z",
            **(metadata or {}),
        },
        "status": {"phase": "Running", "containerStatuses": list(containers), **status},
    }


def a_termination(reason: str | None = "OOMKilled", **values: Any) -> dict[str, Any]:
    ended = {"startedAt": BEGAN, "finishedAt": FINISHED, "exitCode": 137, "reason": reason}
    return {"terminated": {**ended, **values}}


def a_container(**states: Any) -> dict[str, Any]:
    return {"name": "worker", "restartCount": 1, **states}


def find_one(pod: dict[str, Any]) -> PodEnd:
    [end] = find_ends(pod, seen_at=SEEN)
    return end


@pytest.mark.parametrize("state", ["lastState", "state"])
def test_a_container_tells_how_it_ended_before_its_restart_and_after(state: str) -> None:
    end = find_one(a_pod(a_container(**{state: a_termination()})))

    assert end == PodEnd(
        pod_uid="uid-1",
        pod_name="demo-worker-1",
        container="worker",
        began_at=datetime(2026, 1, 1, 0, 1, tzinfo=UTC),
        ended_at=datetime(2026, 1, 1, 0, 2, tzinfo=UTC),
        reason="OOMKilled",
        exit_code=137,
        message="",
    )


def test_two_ends_of_one_container_are_two() -> None:
    second = a_termination("Error", startedAt="2026-01-01T00:03:00Z", exitCode=70)

    ends = find_ends(a_pod(a_container(lastState=a_termination(), state=second)), seen_at=SEEN)

    assert [(end.reason, end.exit_code) for end in ends] == [("OOMKilled", 137), ("Error", 70)]


@pytest.mark.parametrize(
    ("reason", "exit_code", "told"),
    [
        (None, 0, "Completed"),
        (None, 1, "Error"),
        ("ContainerStatusUnknown", 137, "ContainerLost"),
        ("OOMKilled", 137, "OOMKilled"),
    ],
)
def test_a_reason_always_tells_something(reason: str | None, exit_code: int, told: str) -> None:
    termination = a_termination(reason, exitCode=exit_code)

    assert find_one(a_pod(a_container(state=termination))).reason == told


def test_of_long_last_words_the_end_is_kept_and_nothing_that_a_column_cant_hold() -> None:
    message = "x" * 5_000 + "\x00 Killed \udc80\n"

    end = find_one(a_pod(a_container(state=a_termination(message=message))))

    assert end.message.endswith("x Killed ?")
    assert len(end.message) == MAX_MESSAGE_CHARACTERS


def test_a_container_whose_times_nobody_knows_is_left_to_its_pod() -> None:
    lost = a_container(state=a_termination("ContainerStatusUnknown", startedAt=None))

    assert find_ends(a_pod(lost), seen_at=SEEN) == ()


@pytest.mark.parametrize("pod", [a_pod(a_container(state={"running": {}})), a_pod()])
def test_a_pod_that_lives_has_no_ends(pod: dict[str, Any]) -> None:
    assert find_ends(pod, seen_at=SEEN) == ()
    del pod["status"]
    assert find_ends(pod, seen_at=SEEN) == ()


def test_an_evicted_pod_says_why() -> None:
    pod = a_pod(phase="Failed", reason="Evicted", message="The node was low on resource: memory.")

    end = find_one(pod)

    assert (end.container, end.reason, end.exit_code) == ("", "Evicted", None)
    assert (end.message, end.ended_at) == ("The node was low on resource: memory.", SEEN)
    assert (end.began_at, end.has_ended_processes) == (CREATED, False)


def test_a_disrupted_pod_says_by_what_and_since_when() -> None:
    gone = {"deletionTimestamp": "2026-01-01T00:11:00Z"}

    end = find_one(a_pod(metadata=gone, conditions=[DISRUPTED]))

    assert (end.reason, end.message) == ("EvictionByEvictionAPI", "Eviction API: evicting")
    assert end.ended_at == datetime(2026, 1, 1, 0, 10, tzinfo=UTC)


def test_a_deleted_pod_ended_when_it_was_asked_to_and_not_when_its_grace_is_over() -> None:
    gone = {"deletionTimestamp": "2026-01-01T00:11:00Z", "deletionGracePeriodSeconds": 60}

    end = find_one(a_pod(metadata=gone))

    assert (end.reason, end.message) == ("Deleted", "the pod was asked to end")
    assert end.ended_at == datetime(2026, 1, 1, 0, 10, tzinfo=UTC)


def test_a_pod_that_is_missing_was_deleted() -> None:
    end = find_absence(a_pod(), seen_at=SEEN)

    assert (end.container, end.reason, end.ended_at) == ("", "Deleted", SEEN)
    assert end.began_at == CREATED
