"""What becomes of a resource that is changed, wrong, paused or in somebody's way."""

import json
from typing import Any

from operator_resources import Apply
from platform_under_test import Platform, kubectl, wait_until

READY_SECONDS = 90.0
SEEN_SECONDS = 30.0


def await_condition(platform: Platform, kind: str, status: str, reason: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        found = platform.condition(kind)
        is_it = (found.get("status"), found.get("reason")) == (status, reason)
        return found if is_it else None

    return wait_until(look, seconds=SEEN_SECONDS, what=f"{kind}={status}/{reason}")


def uid(platform: Platform, *what: str) -> str:
    return str(platform.get(*what)["metadata"]["uid"])


def test_kubectl_shows_how_it_is(small: Platform) -> None:
    small.await_ready(seconds=READY_SECONDS)
    header, row = small.kubectl("get", "orch", small.name, "-o", "wide").strip().splitlines()

    shown = dict(zip(header.split(), row.split(), strict=True))
    assert shown["READY"] == "True"
    assert shown["VERSION"] == "0.1.0"
    assert shown["API"] == "2"
    assert shown["REASON"] == "AllComponentsReady"
    assert shown["ENDPOINT"] == f"http://{small.name}-edge.{small.namespace}.svc"
    assert small.name in small.kubectl("get", "all")


def test_an_image_that_can_not_be_had_shows_and_is_recovered_from(
    small: Platform, apply: Apply
) -> None:
    old = small.get("deployment", f"{small.name}-edge")["status"]["readyReplicas"]

    apply(small, {"images": {"nginx": "registry.invalid/nginx:none"}})

    ready = await_condition(small, "Ready", "False", "ImagePullBackOff")
    assert "registry.invalid/nginx:none" in ready["message"]
    assert small.get("deployment", f"{small.name}-edge")["status"]["readyReplicas"] == old
    apply(small, {})
    small.await_ready(seconds=READY_SECONDS)


def test_the_edge_can_be_published_and_taken_back(small: Platform, apply: Apply) -> None:
    def node_ports() -> list[int]:
        ports = small.get("service", f"{small.name}-edge")["spec"]["ports"]
        return [port["nodePort"] for port in ports if "nodePort" in port]

    apply(small, {"edge": {"service": {"type": "NodePort"}}})
    wait_until(node_ports, seconds=SEEN_SECONDS, what="a port on the nodes")

    apply(small, {})
    wait_until(lambda: not node_ports(), seconds=SEEN_SECONDS, what="the port to be given back")
    small.await_ready(seconds=READY_SECONDS)
    assert small.condition("Degraded")["status"] == "False"


def test_fixed_workers_follow_kubectl_scale(small: Platform, apply: Apply) -> None:
    apply(small, {"worker": {"replicas": 1, "scaling": {"mode": "Fixed"}}})
    small.await_ready(seconds=READY_SECONDS)

    small.kubectl("scale", f"orchestrator/{small.name}", "--replicas=2")
    wait_until(
        lambda: small.resource()["status"]["worker"]["replicas"] == 2,
        seconds=SEEN_SECONDS,
        what="two workers",
    )
    small.await_ready(seconds=READY_SECONDS)

    scale = json.loads(
        kubectl(
            "get",
            "--raw",
            f"/apis/taskorchestrator.dev/v1alpha1/namespaces/{small.namespace}"
            f"/orchestrators/{small.name}/scale",
        )
    )
    pods = small.get("pods", "-l", scale["status"]["selector"])["items"]
    assert scale["status"]["replicas"] == len(pods) == 2
    apply(small, {})
    small.await_ready(seconds=READY_SECONDS)


def test_a_paused_resource_is_left_alone(small: Platform) -> None:
    annotation = "taskorchestrator.dev/reconcile"
    small.kubectl("annotate", "orch", small.name, f"{annotation}=paused")
    await_condition(small, "Paused", "True", "Asked")
    small.kubectl("delete", "service", f"{small.name}-edge")
    small.kubectl("label", "orch", small.name, "touched=yes")

    assert small.get("service", f"{small.name}-edge") is None

    small.kubectl("annotate", "orch", small.name, f"{annotation}-")
    wait_until(
        lambda: small.get("service", f"{small.name}-edge"),
        # Less than the half minute after which the operator would look anyway.
        seconds=10,
        what="the Service to be back",
    )
    small.await_ready(seconds=READY_SECONDS)


def test_a_grown_volume_keeps_its_pod_or_says_why_it_can_not_grow(
    small: Platform, apply: Apply
) -> None:
    pod, claim = f"{small.name}-postgres-0", f"data-{small.name}-postgres-0"
    before = uid(small, "pod", pod), uid(small, "pvc", claim)
    old_set = uid(small, "statefulset", f"{small.name}-postgres")
    postgres = {"managed": {"storage": {"size": "768Mi"}, "resources": small_resources(small)}}

    apply(small, {"postgres": postgres})

    def is_made_anew() -> bool:
        found = small.get("statefulset", f"{small.name}-postgres")
        return found is not None and found["metadata"]["uid"] != old_set

    wait_until(is_made_anew, seconds=SEEN_SECONDS, what="the StatefulSet to be made anew")

    assert (uid(small, "pod", pod), uid(small, "pvc", claim)) == before

    def is_told() -> bool:
        grown = small.get("pvc", claim)["spec"]["resources"]["requests"]["storage"] == "768Mi"
        return grown or small.condition("Degraded").get("reason") == "VolumeNotExpanded"

    # Whether a volume can grow is up to the storage class of the cluster.
    wait_until(is_told, seconds=SEEN_SECONDS, what="the volume to grow, or a reason")
    # The size can't be taken back: the next tests get a new resource over the same volume.
    small.kubectl("delete", "orch", small.name)
    apply(small, {})
    small.await_ready(seconds=READY_SECONDS)


def small_resources(platform: Platform) -> dict[str, Any]:
    found: dict[str, Any] = platform.resource()["spec"]["postgres"]["managed"]["resources"]
    return found


def test_somebody_elses_object_is_left_alone(home: str, apply: Apply) -> None:
    blocked = Platform(home, "blocked")
    theirs = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "blocked-api"},
        "spec": {"selector": {"app": "theirs"}, "ports": [{"port": 80}]},
    }
    blocked.kubectl("apply", "-f", "-", input_text=json.dumps(theirs))

    apply(blocked, {})

    ready = await_condition(blocked, "Ready", "False", "NameConflict")
    assert "Service blocked-api" in ready["message"]
    assert blocked.get("service", "blocked-api")["spec"]["selector"] == {"app": "theirs"}
    blocked.kubectl("delete", "service", "blocked-api")
    await_condition(blocked, "Degraded", "False", "AsDesired")
    assert blocked.get("service", "blocked-api")["spec"]["selector"] != {"app": "theirs"}
    blocked.kubectl("delete", "orch", "blocked")
