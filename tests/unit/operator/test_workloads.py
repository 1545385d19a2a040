"""What a workload's own status says of it."""

from typing import Any

import pytest

from orchestrator_operator.kinds import Manifest
from orchestrator_operator.workloads import is_migrating

JOB: Manifest = {"kind": "Job", "metadata": {"name": "demo-migrate-1", "uid": "uid-of-the-job"}}
RUNNING = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}


def a_pod(
    state: dict[str, Any],
    *,
    container: str = "migrate",
    owner: str = "uid-of-the-job",
    phase: str = "Pending",
    **metadata: Any,
) -> Manifest:
    reference = {"kind": "Job", "name": "demo-migrate-1", "uid": owner, "controller": True}
    return {
        "kind": "Pod",
        "metadata": {"name": "demo-migrate-1-x", "ownerReferences": [reference], **metadata},
        "status": {
            "phase": phase,
            "initContainerStatuses": [{"name": container, "state": state}],
        },
    }


def test_a_job_migrates_while_a_pod_of_its_own_runs_the_migrations() -> None:
    assert is_migrating(JOB, [a_pod({"terminated": {"exitCode": 1}}), a_pod(RUNNING)])


@pytest.mark.parametrize(
    "pod",
    [
        pytest.param({"metadata": {"name": "unscheduled"}}, id="no status"),
        pytest.param(a_pod({"waiting": {"reason": "ImagePullBackOff"}}), id="not started"),
        pytest.param(a_pod({"terminated": {"exitCode": 0}}), id="through"),
        pytest.param(a_pod(RUNNING, owner="uid-of-another"), id="of another Job"),
        pytest.param(a_pod(RUNNING, container="sidecar"), id="another container"),
        pytest.param(a_pod(RUNNING, phase="Failed"), id="its node is lost"),
        pytest.param(a_pod(RUNNING, deletionTimestamp="2026-01-01T00:00:00Z"), id="leaving"),
    ],
)
def test_otherwise_a_job_does_not_migrate(pod: Manifest) -> None:
    assert not is_migrating(JOB, [pod])
    assert not is_migrating(JOB, [])
