"""What accompanies a resource from pass to pass, and may be lost at any time.

None of it decides what is right: it saves calls, notices what sends no event, and
holds the running autoscaler, which is steered and never asked about the spec.

Before: ``app`` makes one for each resource and closes it when that is gone.
After: ``reconciling`` reads and updates it; ``noticing`` compares with it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

from orchestrator_operator.acting import SettledMemory
from orchestrator_operator.kinds import Manifest
from orchestrator_operator.manifests.context import Context
from orchestrator_operator.scaling import ScalingState
from orchestrator_operator.status import ScalingView


class WorkerPool(Protocol):
    """The autoscaler of one resource, as far as a pass knows it."""

    def steer(self, resource: Manifest, context: Context) -> None:
        """Take the present spec and credentials; start if not yet running."""
        ...

    def view(self) -> ScalingView:
        """Return what status says about scaling."""
        ...

    def measure(self) -> ScalingState | None:
        """Return what metrics say about scaling; None while it does not run."""
        ...

    async def close(self) -> None:
        """Stop scaling; the workers stay as they are. Steered again, it starts anew."""
        ...


@dataclass(slots=True, kw_only=True)
class Companion:
    """One resource's memory and autoscaler."""

    pool: WorkerPool
    memory: SettledMemory = field(default_factory=SettledMemory)
    secrets: dict[str, str] = field(default_factory=dict)
    """Name → resource version of each Secret as the last pass left it."""
    told: ScalingView | None = None
    """What the last pass wrote into status about scaling."""

    def remember_secrets(self, manifests: Iterable[Manifest]) -> None:
        """Remember which Secrets there are, so that a change of one is noticed."""
        self.secrets = {
            secret["metadata"]["name"]: secret["metadata"]["resourceVersion"]
            for secret in manifests
        }

    def look_at_scaling(self) -> ScalingView:
        """Return what to write about scaling, and remember it as told."""
        self.told = self.pool.view()
        return self.told
