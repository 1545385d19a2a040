"""Install the operator's chart, apply the sample and wait until it is ready.

Before: ``cluster`` has images in place.
After: ``demonstrating`` talks to the API that came up.
"""

import json
import time
from collections.abc import Mapping
from typing import Any

from hack.stack.cluster import ROOT, Cluster
from hack.stack.images import build_values
from hack.tooling.errors import ToolError

OPERATOR_NAMESPACE = "orchestrator-system"
NAMESPACE = "demo"
NAME = "demo"
RELEASE = "orchestrator-operator"
SAMPLE = ROOT / "hack/samples/orchestrator.yaml"
EXPOSED = ROOT / "hack/samples/nodeports.yaml"
READY_SECONDS = 180.0


def install_operator(cluster: Cluster, images: Mapping[str, str]) -> None:
    """Install the chart, or bring it up to date, and wait for the operator.

    Args:
        cluster: where to.
        images: references by name; where one is left out, the chart's default is used.
    """
    cluster.helm(
        "upgrade",
        "--install",
        RELEASE,
        str(ROOT / "charts/orchestrator-operator"),
        f"--namespace={OPERATOR_NAMESPACE}",
        "--create-namespace",
        # The CRD outlives a release on purpose; a later one, under any name, goes on with it.
        "--take-ownership",
        "--wait",
        "--timeout=3m",
        *build_values(images),
    )


def apply_sample(cluster: Cluster) -> None:
    """Apply the sample in a namespace that enforces the restricted Pod Security level."""
    namespace = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": NAMESPACE,
            "labels": {"pod-security.kubernetes.io/enforce": "restricted"},
        },
    }
    cluster.kubectl("apply", "-f", "-", input_text=json.dumps(namespace))
    cluster.kubectl("apply", f"--namespace={NAMESPACE}", "-f", str(SAMPLE))
    cluster.kubectl("apply", f"--namespace={NAMESPACE}", "-f", str(EXPOSED))


def await_ready(cluster: Cluster) -> float:
    """Wait for the sample's Ready condition, showing what it waits for; return the seconds.

    Raises:
        ToolError: it did not become ready; names the reason that the resource gives.
    """
    start = time.monotonic()
    shown = ""
    while True:
        condition = ready_condition(cluster)
        if condition.get("status") == "True":
            return time.monotonic() - start
        message = condition.get("message", "the operator has not looked at it yet")
        if message != shown:
            print(f"    {time.monotonic() - start:5.1f} s  {message}", flush=True)
            shown = message
        if time.monotonic() - start > READY_SECONDS:
            raise ToolError(
                f"not ready after {READY_SECONDS:.0f} s: {message}",
                advice=f"look at `kubectl -n {NAMESPACE} describe orch {NAME}` and at the logs of"
                f" the operator in {OPERATOR_NAMESPACE}",
            )
        time.sleep(0.5)


def ready_condition(cluster: Cluster) -> Mapping[str, Any]:
    """Return the Ready condition of the sample's current generation, or an empty one."""
    resource = cluster.get("orchestrator", NAME, f"--namespace={NAMESPACE}") or {}
    generation = resource.get("metadata", {}).get("generation")
    for condition in resource.get("status", {}).get("conditions", []):
        if condition["type"] == "Ready" and condition.get("observedGeneration") == generation:
            return dict(condition)
    return {}


def remove(cluster: Cluster) -> None:
    """Delete the sample's namespace, the chart and the CRD, in the order that leaves nothing."""
    cluster.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--timeout=50s")
    if RELEASE in cluster.helm("list", "--short", f"--namespace={OPERATOR_NAMESPACE}").split():
        cluster.helm("uninstall", RELEASE, f"--namespace={OPERATOR_NAMESPACE}", "--wait")
    cluster.kubectl(
        "delete", "namespace", OPERATOR_NAMESPACE, "--ignore-not-found", "--timeout=50s"
    )
