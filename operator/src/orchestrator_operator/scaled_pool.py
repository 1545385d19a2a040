"""One resource's autoscaler: started, steered, shown in status, stopped.

It starts when the database has its schema and is started anew when the database's
password is another. Its state moves every two seconds, the status does not:
``view`` changes only when people should know, and the queue at most every ten
seconds.

Before: ``reconciling`` steers it at the end of each pass.
After: ``scaling`` decides and writes the worker Deployment's replicas.
"""

import asyncio
import contextlib
import time

from pydantic import SecretStr

from orchestrator_core.load import Load, WorkerPresence
from orchestrator_core.postgres.load_store import LoadStore
from orchestrator_core.settings import PostgresSettings
from orchestrator_operator import names
from orchestrator_operator.applying import Cluster
from orchestrator_operator.autoscaling import Finding, ScalingMode, ScalingTarget
from orchestrator_operator.conditions import Fact
from orchestrator_operator.kinds import Manifest
from orchestrator_operator.manifests.context import Context
from orchestrator_operator.manifests.credentials import DATABASE, POSTGRES_PORT, USER
from orchestrator_operator.manifests.postgres import MAX_CONNECTIONS
from orchestrator_operator.quantities import to_seconds
from orchestrator_operator.scaling import Scaler
from orchestrator_operator.scaling_kubernetes import KubernetesWorkers
from orchestrator_operator.spec import OrchestratorSpec
from orchestrator_operator.status import NOT_LIMITED, NOT_STARTED, ScalingView

QUEUE_PERIOD_SECONDS = 10.0
CONNECTIONS_PER_API_POD = 12
CONNECTIONS_PER_WORKER = 6
"""Upper bounds of the pools that the two open, with one to spare each."""
CONNECTIONS_KEPT_FREE = 15
"""For the operator, the migration, people, and what Postgres keeps for its superuser."""


def to_target(spec: OrchestratorSpec) -> ScalingTarget:
    """Return what the resource asks of the autoscaler."""
    worker, scaling = spec.worker, spec.worker.scaling
    free = MAX_CONNECTIONS - CONNECTIONS_KEPT_FREE - spec.api.replicas * CONNECTIONS_PER_API_POD
    return ScalingTarget(
        mode=ScalingMode(scaling.mode.value),
        fixed_replicas=worker.replicas,
        min_replicas=scaling.min,
        max_replicas=scaling.max,
        slots_per_pod=worker.concurrency,
        target_latency_seconds=float(to_seconds(scaling.target_latency)),
        idle_after_seconds=float(to_seconds(scaling.idle_after)),
        connection_limit_replicas=max(1, free // CONNECTIONS_PER_WORKER),
    )


def round_queue(tasks: int) -> int:
    """Return a number of tasks with two digits that count: 7, 42, 1300."""
    digits = len(str(tasks))
    return tasks if digits <= 2 else round(tasks, 2 - digits)  # noqa: PLR2004 - two digits


class RememberingSource:
    """A load source that remembers its last reading, for status."""

    def __init__(self, store: LoadStore) -> None:
        self._store = store
        self.ready_tasks: int | None = None
        """None while the last reading failed."""

    async def read(self) -> Load:
        """Read the load."""
        self.ready_tasks = None
        load = await self._store.read()
        self.ready_tasks = load.ready_tasks
        return load

    async def workers(self) -> tuple[WorkerPresence, ...]:
        """Read which workers have reported lately."""
        return await self._store.workers()


class ScaledPool:
    """Implements ``companions.WorkerPool``."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._settings: PostgresSettings | None = None
        self._source: RememberingSource | None = None
        self._scaler: Scaler | None = None
        self._task: asyncio.Task[None] | None = None
        self._shown_queue: int | None = None
        self._queue_shown_at = 0.0

    def steer(self, resource: Manifest, context: Context) -> None:
        """Take the present spec and credentials; start if not yet running."""
        settings = to_postgres_settings(context)
        target = to_target(context.spec)
        is_running = self._task is not None and not self._task.done()
        if self._scaler is not None and is_running and settings == self._settings:
            self._scaler.retarget(target)
            return
        if self._task is not None:
            self._task.cancel()
        self._settings = settings
        self._task = asyncio.create_task(
            self._scale(settings, target, resource), name=f"scale {context.name}"
        )

    def view(self) -> ScalingView:
        """Return what status says about scaling."""
        if self._scaler is None:
            return ScalingView(active=NOT_STARTED, limited=NOT_LIMITED)
        state = self._scaler.state
        return ScalingView(
            active=_to_fact(state.active),
            limited=_to_fact(state.limited),
            desired_replicas=state.desired_replicas,
            queued_tasks=self._queue(),
            last_scale_time=state.last_scale_time,
            reason=state.reason,
        )

    async def close(self) -> None:
        """Stop scaling; the workers stay as they are."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _scale(
        self, settings: PostgresSettings, target: ScalingTarget, resource: Manifest
    ) -> None:
        async with LoadStore.connect(settings) as store:
            self._source = RememberingSource(store)
            workers = KubernetesWorkers(self._cluster, resource=resource)
            self._scaler = Scaler(target=target, source=self._source, actuator=workers)
            await self._scaler.run()

    def _queue(self) -> int | None:
        now = time.monotonic()
        if self._source is not None and now - self._queue_shown_at >= QUEUE_PERIOD_SECONDS:
            ready = self._source.ready_tasks
            self._shown_queue = self._shown_queue if ready is None else round_queue(ready)
            self._queue_shown_at = now
        return self._shown_queue


def to_postgres_settings(context: Context) -> PostgresSettings:
    """Return how to reach the resource's Postgres from another namespace."""
    return PostgresSettings(
        DB_HOST=f"{context.child(names.POSTGRES)}.{context.namespace}.svc",
        DB_PORT=POSTGRES_PORT,
        DB_USER=USER,
        DB_PASSWORD=SecretStr(context.credentials.postgres_password),
        DB_NAME=DATABASE,
    )


def _to_fact(finding: Finding) -> Fact:
    return Fact(finding.reason, finding.message, finding.is_true)
