"""Install the operator's chart, apply the sample and wait until it is ready.

Before: ``cluster`` has images in place.
After: ``demonstrating`` talks to the API that came up.
"""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hack.stack import diagnosing
from hack.stack.cluster import ROOT, Cluster
from hack.stack.images import MAIL as MAIL_IMAGE
from hack.stack.images import build_values
from hack.tooling.errors import CommandError, ToolError

MADE_BY = "app.kubernetes.io/managed-by"
MADE_BY_US = "hack-stack"
OPERATOR_NAMESPACE = "orchestrator-system"
NAMESPACE = "demo"
NAME = "demo"
RELEASE = "orchestrator-operator"
SAMPLE = ROOT / "hack/samples/orchestrator.yaml"
EXPOSED = ROOT / "hack/samples/nodeports.yaml"
MAIL = ROOT / "hack/samples/mail.yaml"
PUBLISHED_MAIL_IMAGE = "axllent/mailpit:v1.33.1"
READY_SECONDS = 180.0


def install_operator(cluster: Cluster, images: Mapping[str, str]) -> None:
    """Install the chart, or bring it up to date, and wait for the operator.

    Args:
        cluster: where to.
        images: references by name; where one is left out, the chart's default is used.

    Raises:
        CommandError: helm failed, or the operator did not start; its pods were shown.
    """
    try:
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
    except CommandError as error:
        diagnosing.show_state(cluster, namespaces=[OPERATOR_NAMESPACE])
        error.advice = (
            f"see `kubectl -n {OPERATOR_NAMESPACE} logs deployment/{RELEASE}`; run this again once"
            " the reason is gone"
        )
        raise


def apply_sample(cluster: Cluster, images: Mapping[str, str]) -> None:
    """Apply the sample in a namespace that enforces the restricted Pod Security level.

    Args:
        cluster: where to.
        images: references by name; the mail server's, if it was built here.
    """
    namespace = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": NAMESPACE,
            "labels": {"pod-security.kubernetes.io/enforce": "restricted", MADE_BY: MADE_BY_US},
        },
    }
    cluster.kubectl("apply", "-f", "-", input_text=json.dumps(namespace))
    cluster.kubectl("apply", f"--namespace={NAMESPACE}", "-f", str(SAMPLE))
    cluster.kubectl("apply", f"--namespace={NAMESPACE}", "-f", str(EXPOSED))
    mail = build_mail(images, MAIL.read_text(encoding="utf-8"))
    cluster.kubectl("apply", f"--namespace={NAMESPACE}", "-f", "-", input_text=mail)


def build_mail(images: Mapping[str, str], manifest: str) -> str:
    """Return the mail server's manifest with the image that the cluster has."""
    return manifest.replace(PUBLISHED_MAIL_IMAGE, images.get(MAIL_IMAGE, PUBLISHED_MAIL_IMAGE))


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
            diagnosing.show_state(cluster, namespaces=[NAMESPACE, OPERATOR_NAMESPACE])
            raise ToolError(
                f"not ready after {READY_SECONDS:.0f} s: {message}",
                advice=f"see `kubectl -n {NAMESPACE} describe orch {NAME}` and `kubectl -n"
                f" {OPERATOR_NAMESPACE} logs deployment/{RELEASE}`; `make up` again waits on",
            )
        time.sleep(0.5)


def is_ours(namespace: Mapping[str, Any]) -> bool:
    """Say whether ``apply_sample`` made this namespace, so that all of it may go."""
    return bool(namespace["metadata"].get("labels", {}).get(MADE_BY) == MADE_BY_US)


def _delete_file(cluster: Cluster, file: Path) -> None:
    cluster.kubectl(
        "delete", f"--namespace={NAMESPACE}", "-f", str(file), "--ignore-not-found", "--timeout=50s"
    )


def ready_condition(cluster: Cluster) -> Mapping[str, Any]:
    """Return the Ready condition of the sample's current generation, or an empty one."""
    resource = cluster.get("orchestrator", NAME, f"--namespace={NAMESPACE}") or {}
    generation = resource.get("metadata", {}).get("generation")
    for condition in resource.get("status", {}).get("conditions", []):
        if condition["type"] == "Ready" and condition.get("observedGeneration") == generation:
            return dict(condition)
    return {}


def remove(cluster: Cluster) -> None:
    """Delete the sample, then the chart: the operator is there to end what it made.

    A namespace of the sample's name that somebody else made keeps all but the sample.

    Raises:
        ToolError: the cluster did not answer, or something did not end in time.
    """
    print(f"uninstalling from the cluster of {cluster.kubeconfig}", flush=True)
    namespace = cluster.get("namespace", NAMESPACE)
    if namespace and is_ours(namespace):
        cluster.kubectl("delete", "namespace", NAMESPACE, "--timeout=50s")
    elif namespace:
        print(f"namespace {NAMESPACE} was not made by `make up`: only the sample goes", flush=True)
        for file in (MAIL, EXPOSED, SAMPLE):
            _delete_file(cluster, file)
    if RELEASE in cluster.helm("list", "--short", f"--namespace={OPERATOR_NAMESPACE}").split():
        cluster.helm("uninstall", RELEASE, f"--namespace={OPERATOR_NAMESPACE}", "--wait")
    cluster.kubectl(
        "delete", "namespace", OPERATOR_NAMESPACE, "--ignore-not-found", "--timeout=50s"
    )
