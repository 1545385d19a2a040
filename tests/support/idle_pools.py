"""What a pass of a test's own needs beside a cluster: images, and nobody who scales.

Before: the operator's chart is installed.
After: a ``Reconciler`` in the test's process makes the same manifests as the installed one.
"""

from typing import Any

from orchestrator_operator.images import DefaultImages
from orchestrator_operator.status import ScalingView
from platform_under_test import kubectl


class IdlePool:
    """Scales nothing, and says what it was given to say."""

    def __init__(self, view: ScalingView | None = None) -> None:
        self._view = view or ScalingView()

    def steer(self, *_: Any) -> None:
        """Do nothing."""

    def view(self) -> ScalingView:
        """Return what status says about scaling."""
        return self._view

    async def close(self) -> None:
        """Do nothing."""


def operators_images() -> DefaultImages:
    """Return the images that the installed operator runs."""
    text = kubectl(
        *("get", "deployments", "-A", "-l", "app.kubernetes.io/name=orchestrator-operator"),
        "-o",
        'jsonpath={.items[0].spec.template.spec.containers[0].env[?(@.name=="'
        'ORCHESTRATOR_OPERATOR_IMAGES")].value}',
    )
    return DefaultImages.model_validate_json(text)
