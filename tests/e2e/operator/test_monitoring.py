"""PodMonitors, in a cluster that comes to know them; a bare definition stands in for the real one.

What reads them is no part of this project; whether metrics can be read is in the contract tests.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from platform_under_test import KubectlError, Platform, kubectl, wait_until

RESYNC_SECONDS = 45.0
"""Nobody tells the operator of a new definition; it looks every half minute."""
NAME = "podmonitors.monitoring.coreos.com"
DEFINITION: dict[str, Any] = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": NAME},
    "spec": {
        "group": "monitoring.coreos.com",
        "scope": "Namespaced",
        "names": {"kind": "PodMonitor", "plural": "podmonitors"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {
                                "type": "object",
                                "x-kubernetes-preserve-unknown-fields": True,
                            }
                        },
                    }
                },
            }
        ],
    },
}


@pytest.fixture
def _definition() -> Iterator[None]:
    try:
        kubectl("get", "crd", NAME)
    except KubectlError:
        kubectl("apply", "-f", "-", input_text=json.dumps(DEFINITION))
        yield
        kubectl("delete", "crd", NAME, "--wait=true")
    else:
        # The cluster has the real one.
        yield


@pytest.mark.usefixtures("_definition")
def test_pod_monitors_come_with_their_definition_and_go_with_the_wish(small: Platform) -> None:
    def monitors() -> set[str]:
        try:
            return {each["metadata"]["name"] for each in small.list("podmonitor")}
        except KubectlError:
            # kubectl does not know the new kind at once.
            return set()

    wanted = {f"{small.name}-{part}" for part in ("api", "worker", "rabbitmq")}
    wait_until(
        lambda: wanted <= monitors(), seconds=RESYNC_SECONDS, what="the PodMonitors to be there"
    )

    small.merge("orchestrator", small.name, {"spec": {"monitoring": {"podMonitors": "Disabled"}}})
    wait_until(
        lambda: not wanted & monitors(), seconds=RESYNC_SECONDS, what="the PodMonitors to be gone"
    )
    small.merge("orchestrator", small.name, {"spec": {"monitoring": None}})
    small.await_ready(seconds=RESYNC_SECONDS)
