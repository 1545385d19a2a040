"""Damage to a running platform heals by itself, and without damage nothing is written."""

import json
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from installed_operator import operators_images
from operator_testing.no_pool import NoPool
from orchestrator_operator.applying import Cluster, KubernetesCluster
from orchestrator_operator.companions import Companion
from orchestrator_operator.conditions import Fact, from_timestamp, previous_conditions
from orchestrator_operator.kinds import ORCHESTRATOR
from orchestrator_operator.looping import Verdict
from orchestrator_operator.reconciling import Reconciler
from orchestrator_operator.status import ScalingView
from owned_objects import Owned, await_order, read_owned
from platform_under_test import Platform, Tunnel, wait_until

BACK_SECONDS = 10.0
"""Far below the minute of F-35, with room for others that are at work on the cluster meanwhile."""
UNWATCHED_SECONDS = 25.0
"""Of Secrets, which are looked at in turn."""
READY_SECONDS = 90.0
KINDS = (
    "networkpolicy",
    "service",
    "configmap",
    "poddisruptionbudget",
    "job",
    "secret",
    "deployment",
    "statefulset",
)
EDITS: dict[str, tuple[str, dict[str, Any]]] = {
    "networkpolicy": ("worker", {"spec": {"egress": [{}]}}),
    "service": ("postgres", {"spec": {"selector": {"app.kubernetes.io/component": "nobody"}}}),
    "configmap": ("rabbitmq", {"data": {"90-orchestrator.conf": "listeners.tcp = none"}}),
    "poddisruptionbudget": ("api", {"spec": {"maxUnavailable": 2}}),
    "job": ("migrate", {"metadata": {"labels": {"app.kubernetes.io/component": "other"}}}),
    "secret": ("postgres", {"data": {"uri": "bm93aGVyZQ=="}}),
    "deployment": ("api", {"spec": {"replicas": 1}}),
    "statefulset": ("redis", {"spec": {"revisionHistoryLimit": 7}}),
}
"""Kind → whose, and what somebody makes of it."""


def back_seconds(kind: str) -> float:
    return UNWATCHED_SECONDS if kind == "secret" else BACK_SECONDS


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    async with await KubernetesCluster.connect(component="e2e") as connected:
        yield connected


@pytest.fixture(scope="module")
def owned(small: Platform) -> Owned:
    """What there is before any damage."""
    return read_owned(small)


@pytest.fixture(scope="module", autouse=True)
def _before_any_damage(owned: Owned) -> None:
    assert len(owned.volumes) == 2


def children(platform: Platform, kind: str) -> dict[str, dict[str, Any]]:
    found = platform.list(kind, instance=platform.name, **{"managed-by": "orchestrator-operator"})
    return {item["metadata"]["name"]: item for item in found}


@pytest.mark.parametrize("kind", KINDS)
def test_each_deleted_child_is_back_soon(small: Platform, kind: str) -> None:
    before = {name: child["metadata"]["uid"] for name, child in children(small, kind).items()}
    assert before

    for name, uid in before.items():
        small.kubectl("delete", kind, name, "--wait=false")

        def is_back(name: str = name, uid: str = uid) -> bool:
            child = small.get(kind, name)
            return child is not None and child["metadata"]["uid"] != uid

        seconds = back_seconds(kind)
        wait_until(is_back, seconds=seconds, what=f"{kind} {name} to be back", every=0.1)


def test_after_all_that_everything_runs_on_its_old_volumes(small: Platform, owned: Owned) -> None:
    small.await_ready(seconds=READY_SECONDS)
    wait_until(
        # The database opened with another password, and the autoscaler reads it.
        lambda: small.condition("ScalingActive").get("status") == "True",
        seconds=30,
        what="the autoscaler to read the database",
    )

    # nginx was given the new address of the API's new Service.
    transport = Tunnel(small.namespace, f"{small.name}-edge")
    with httpx.Client(transport=transport, base_url="http://edge", timeout=10.0) as edge:
        assert edge.get("/health").status_code == 200
    await_order(small, owned)


def view_of(resource: dict[str, Any]) -> ScalingView:
    """Return what the status says of the autoscaler, so that a pass has nothing to add."""
    facts = {
        condition.type: Fact(
            condition.reason, condition.message, is_true=condition.status == "True"
        )
        for condition in previous_conditions(resource)
    }
    worker = resource["status"]["worker"]
    scaled = worker.get("lastScaleTime")
    return ScalingView(
        active=facts["ScalingActive"],
        limited=facts["ScalingLimited"],
        desired_replicas=worker["desired"],
        queued_tasks=worker.get("queued"),
        last_scale_time=from_timestamp(scaled) if scaled else None,
        reason=worker.get("reason", ""),
    )


def is_quiet(versions: Callable[[], dict[str, str]]) -> bool:
    """Whether nothing is written for longer than any controller here waits between two writes."""
    before = versions()
    time.sleep(5)
    return versions() == before


async def test_a_further_pass_writes_nothing(small: Platform, cluster: Cluster) -> None:
    small.await_ready(seconds=READY_SECONDS)
    reconciler = Reconciler(
        cluster=cluster,
        default_images=operators_images(),
        operator_namespace="orchestrator-system",
        now=lambda: datetime.now(UTC),
    )

    def versions() -> dict[str, str]:
        found = {
            f"{kind} {name}": child["metadata"]["resourceVersion"]
            for kind in KINDS
            for name, child in children(small, kind).items()
        }
        return {**found, "resource": small.resource()["metadata"]["resourceVersion"]}

    # Other controllers, and the operator itself, write status for a while after so much damage.
    wait_until(lambda: is_quiet(versions), seconds=60, what="everybody else to stop writing")
    # A fresh companion remembers nothing: every object is really applied again.
    companion = Companion(pool=NoPool(view_of(small.resource())))
    before = versions()
    verdict = await reconciler.reconcile(small.namespace, small.name, companion)

    assert verdict is Verdict.DONE
    assert versions() == before
    assert len(before) > 20


async def test_nothing_of_ours_holds_a_finalizer(small: Platform, cluster: Cluster) -> None:
    resource = await cluster.get(ORCHESTRATOR, small.namespace, small.name)

    assert resource is not None
    assert not resource["metadata"].get("finalizers")
    assert "kopf" not in str(resource["metadata"])


def test_a_removed_volume_of_the_broker_comes_back(small: Platform) -> None:
    claim, pod = f"data-{small.name}-rabbitmq-0", f"{small.name}-rabbitmq-0"
    before = small.get("pvc", claim)["metadata"]["uid"]

    small.kubectl("delete", "pvc", claim, "--wait=false")
    small.kubectl("delete", "pod", pod, "--wait=false")

    def is_back() -> bool:
        found = small.get("pvc", claim)
        return found is not None and found["metadata"]["uid"] != before

    wait_until(is_back, seconds=60, what="the volume claim to be made anew")
    small.await_ready(seconds=READY_SECONDS)


@pytest.mark.parametrize("kind", KINDS)
def test_an_edited_child_is_put_back_soon(small: Platform, kind: str) -> None:
    component, patch = EDITS[kind]
    [name] = [
        name
        for name, child in children(small, kind).items()
        if child["metadata"]["labels"]["app.kubernetes.io/component"] == component
    ]
    before = said_by(small.get(kind, name))

    told = small.kubectl("patch", kind, name, "--type=merge", "-p", json.dumps(patch))

    assert "no change" not in told
    wait_until(
        lambda: said_by(small.get(kind, name)) == before,
        seconds=back_seconds(kind),
        what=f"{kind} {name} to be as it was",
        every=0.1,
    )


def said_by(child: dict[str, Any]) -> dict[str, Any]:
    """Return what whoever wrote an object wants."""
    labels = child["metadata"]["labels"]
    return {"labels": labels, **{key: child.get(key) for key in ("spec", "data")}}
