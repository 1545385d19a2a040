"""An autoscaler that does nothing, for tests of other things.

Before: a test makes a ``Companion``.
After: passes steer it in vain.
"""

from orchestrator_operator.kinds import Manifest
from orchestrator_operator.manifests.context import Context
from orchestrator_operator.scaling import ScalingState
from orchestrator_operator.status import ScalingView


class NoPool:
    """Stands where nothing scales: in tests of other things."""

    def __init__(self, view: ScalingView | None = None) -> None:
        self._view = view or ScalingView()

    def steer(self, resource: Manifest, context: Context) -> None:
        """Do nothing."""

    def view(self) -> ScalingView:
        """Say what was given, by default nothing."""
        return self._view

    def measure(self) -> ScalingState | None:
        """Measure nothing."""
        return None

    async def close(self) -> None:
        """Do nothing."""
