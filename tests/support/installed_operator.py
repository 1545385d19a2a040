"""The installed operator: what it runs, and times in which it does not run.

Before: the operator's chart is installed.
After: tests make the same manifests as it does; it runs again, whatever happened meanwhile.
"""

import contextlib
import json
from collections.abc import Iterator
from typing import Any

from orchestrator_operator.images import DefaultImages
from platform_under_test import kubectl, wait_until
from side_by_side import is_alone

SELECTOR = "app.kubernetes.io/name=orchestrator-operator"


@contextlib.contextmanager
def operator_outage() -> Iterator[None]:
    """Take the operator away until the context ends."""
    assert is_alone(), "mark the test alone: others beside it need the operator"
    found = kubectl("get", "deployments", "-A", "-o", "json", "-l", SELECTOR)
    [deployment] = json.loads(found)["items"]
    metadata = deployment["metadata"]
    where = ("-n", metadata["namespace"])

    def scale(replicas: int) -> None:
        kubectl(*where, "scale", "deployment", metadata["name"], f"--replicas={replicas}")

    def pods() -> list[Any]:
        return list(
            json.loads(kubectl(*where, "get", "pods", "-l", SELECTOR, "-o", "json"))["items"]
        )

    with contextlib.ExitStack() as stack:
        stack.callback(
            kubectl, *where, "rollout", "status", "deployment", metadata["name"], "--timeout=50s"
        )
        stack.callback(scale, 1)
        scale(0)
        wait_until(lambda: not pods(), seconds=40, what="the operator to be gone")
        yield


def operators_images() -> DefaultImages:
    """Return the images that the installed operator runs."""
    variable = '?(@.name=="ORCHESTRATOR_OPERATOR_IMAGES")'
    path = f"{{.items[0].spec.template.spec.containers[0].env[{variable}].value}}"
    return DefaultImages.model_validate_json(
        kubectl("get", "deployments", "-A", "-l", SELECTOR, "-o", f"jsonpath={path}")
    )
