"""The operator's composition root: opens the cluster, starts the loops, closes in reverse.

Before: ``__main__`` has read the settings.
After: resources are reconciled until the process is asked to stop.
"""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime

import structlog

from orchestrator_core.ending import end
from orchestrator_core.metrics import serving_metrics
from orchestrator_operator.applying import Cluster, KubernetesCluster
from orchestrator_operator.companions import Companion, WorkerPool
from orchestrator_operator.handlers import watch
from orchestrator_operator.looping import Loops, ResourceKey, Verdict
from orchestrator_operator.metrics import Metrics
from orchestrator_operator.names import FIELD_MANAGER
from orchestrator_operator.noticing import notice
from orchestrator_operator.reconciling import Reconciler
from orchestrator_operator.rounds import Rounds
from orchestrator_operator.scaled_pool import ScaledPool
from orchestrator_operator.scaling import ScalingState
from orchestrator_operator.settings import OperatorSettings

SILENCE_SECONDS = 180.0
"""Longer than the deadline of a pass: whoever is silent for so long is stuck."""

_log = structlog.get_logger(__name__)


class Operator:
    """Everything that runs in the process, wired."""

    def __init__(
        self,
        cluster: Cluster,
        settings: OperatorSettings,
        *,
        make_pool: Callable[[Cluster], WorkerPool] = ScaledPool,
    ) -> None:
        self._cluster = cluster
        self._make_pool = make_pool
        self.metrics = Metrics(self._measure)
        self._reconciler = Reconciler(
            cluster=cluster,
            default_images=settings.images,
            operator_namespace=settings.own_namespace,
            now=lambda: datetime.now(UTC),
            count_changes=self.metrics.count_changes,
            pod_monitor_labels=settings.pod_monitor_labels,
        )
        self.loops = Loops(self._attempt, farewell=self._part, on_pass=self.metrics.count_pass)
        self.rounds = Rounds(cluster, self.loops, settings.namespaces or (None,))
        self._companions: dict[ResourceKey, tuple[Companion, asyncio.Task[None]]] = {}

    def complaint(self) -> str:
        """Return what is wrong with the process, for its liveness probe; empty when nothing is."""
        silence = self.rounds.silence_seconds()
        if silence > SILENCE_SECONDS:
            return f"the lister has not moved for {silence:.0f} s"
        longest = self.loops.longest_pass_seconds()
        return f"a pass has run for {longest:.0f} s" if longest > SILENCE_SECONDS else ""

    async def close(self) -> None:
        """End loops and autoscalers; what runs in the cluster stays."""
        await self.loops.close()

    async def _attempt(self, key: ResourceKey) -> Verdict:
        if key not in self._companions:
            companion = Companion(pool=self._make_pool(self._cluster))
            task = asyncio.create_task(
                notice(key, companion, self._cluster, self.loops.ring), name=f"notice {key}"
            )
            self._companions[key] = (companion, task)
        return await self._reconciler.reconcile(*key, self._companions[key][0])

    def _measure(self) -> dict[ResourceKey, ScalingState]:
        """Return the autoscalers that run; called by the thread that serves metrics."""
        found = {key: each.pool.measure() for key, (each, _) in [*self._companions.items()]}
        return {key: state for key, state in found.items() if state is not None}

    async def _part(self, key: ResourceKey) -> None:
        if key not in self._companions:
            return
        companion, task = self._companions.pop(key)
        await asyncio.gather(end([task]), companion.pool.close(), return_exceptions=True)


async def run(settings: OperatorSettings) -> None:
    """Run the operator until the process is asked to stop."""
    async with AsyncExitStack() as resources:
        cluster = await resources.enter_async_context(
            await KubernetesCluster.connect(component=FIELD_MANAGER)
        )
        operator = Operator(cluster, settings)
        await resources.enter_async_context(
            serving_metrics(
                operator.metrics.registry,
                port=settings.metrics_port,
                variable="ORCHESTRATOR_OPERATOR_METRICS_PORT",
            )
        )
        await operator.rounds.wait_until_served()
        rounds = asyncio.create_task(operator.rounds.run(), name="rounds")
        try:
            await watch(
                operator.loops.ring,
                operator.complaint,
                namespaces=settings.namespaces,
                health_port=settings.health_port,
            )
        finally:
            await end([rounds])
            await operator.close()
