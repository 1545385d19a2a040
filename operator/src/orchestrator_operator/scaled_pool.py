"""One resource's autoscaler: started, steered, shown in status, stopped.

It starts when the database has its schema, or where workers of an older version run, and is
started anew when the database's password is another.

Before: ``reconciling`` steers it at the end of each pass.
After: ``scaling`` decides and writes the worker Deployment's replicas; ``recording`` tells of it.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import replace

import structlog
from pydantic import SecretStr

from orchestrator_core.ending import end
from orchestrator_core.errors import OrchestratorError
from orchestrator_core.pools import PoolReport
from orchestrator_core.postgres.database import Database
from orchestrator_core.postgres.load_store import LoadStore
from orchestrator_core.postgres.pool_store import PoolStore
from orchestrator_core.settings import PostgresSettings, SslMode
from orchestrator_operator.applying import Cluster
from orchestrator_operator.autoscaling import LOAD_UNAVAILABLE, Finding, ScalingTarget
from orchestrator_operator.conditions import Fact
from orchestrator_operator.kinds import Manifest
from orchestrator_operator.manifests.api import DATABASE_CONNECTIONS
from orchestrator_operator.manifests.context import Context
from orchestrator_operator.manifests.postgres import max_connections
from orchestrator_operator.quantities import to_seconds
from orchestrator_operator.recording import Recorder, to_report
from orchestrator_operator.scaling import NOTHING_SEEN, Scaler, ScalingState
from orchestrator_operator.scaling_kubernetes import KubernetesWorkers
from orchestrator_operator.spec import OrchestratorSpec
from orchestrator_operator.status import NOT_LIMITED, NOT_STARTED, ScalingView
from orchestrator_operator.telling import WARNING, emit

CONNECTIONS_PER_WORKER = 8
"""A worker opens at most seven; one to spare."""
CONNECTIONS_KEPT_FREE = 15
"""For the operator, the migration, people, and what Postgres keeps for its superuser."""

_log = structlog.get_logger(__name__)


def to_target(spec: OrchestratorSpec) -> ScalingTarget:
    """Return what the resource asks of the autoscaler."""
    worker, scaling = spec.worker, spec.worker.scaling
    return ScalingTarget(
        mode=scaling.mode,
        fixed_replicas=worker.replicas,
        min_replicas=scaling.min,
        max_replicas=scaling.max,
        slots_per_pod=worker.concurrency,
        target_latency_seconds=float(to_seconds(scaling.target_latency)),
        idle_after_seconds=float(to_seconds(scaling.idle_after)),
        connection_limit_replicas=_connection_limit(spec),
    )


def _one_connection(settings: PostgresSettings) -> contextlib.AbstractAsyncContextManager[Database]:
    """Open a database that makes its only connection when it is first asked."""
    return Database.open(settings, application="orchestrator-operator", max_connections=1)


def _connection_limit(spec: OrchestratorSpec) -> int | None:
    """Return for how many workers Postgres has connections; of somebody else's nobody knows."""
    if spec.postgres.managed is None:
        return None
    # One more than the replicas: a roll-out starts a pod before it ends one.
    taken = (spec.api.replicas + 1) * DATABASE_CONNECTIONS + CONNECTIONS_KEPT_FREE
    free = max_connections(spec.postgres.managed.resources) - taken
    return max(1, free // CONNECTIONS_PER_WORKER)


class ScaledPool:
    """Implements ``companions.WorkerPool``."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._serves: tuple[str, PostgresSettings] | None = None
        """The resource's uid and the way to its database, as the running scaler knows them."""
        self._scaler: Scaler | None = None
        self._failure: ScalingState | None = None
        """Why the newest could not start."""
        self._target = ScalingTarget()
        """Of the last steering."""
        self._tasks: list[asyncio.Task[None]] = []
        """The newest scales; those before it are on their way out."""

    def steer(self, resource: Manifest, context: Context) -> None:
        """Take the present spec and credentials; start if not yet running."""
        settings = to_postgres_settings(context)
        self._target = to_target(context.spec)
        serves = (context.uid, settings)
        is_running = bool(self._tasks) and not self._tasks[-1].done()
        if self._scaler is not None and is_running and serves == self._serves:
            self._scaler.retarget(self._target)
            return
        self._serves = serves
        former = [task for task in self._tasks if not task.done()]
        task = asyncio.create_task(
            self._scale(settings, resource, former), name=f"scale {context.name}"
        )
        self._tasks = [*former, task]

    def view(self) -> ScalingView:
        """Return what status says about scaling."""
        state = self.measure()
        if state is None:
            return ScalingView(active=NOT_STARTED, limited=NOT_LIMITED)
        return ScalingView(
            active=_to_fact(state.active),
            limited=_to_fact(state.limited),
            desired_replicas=state.desired_replicas,
            queued_tasks=state.queued_tasks,
            is_faulty=state.is_faulty,
            last_scale_time=state.last_scale_time,
            reason=state.reason,
        )

    def measure(self) -> ScalingState | None:
        """Return what metrics say about scaling; None while it does not run and nothing failed."""
        return self._failure if self._scaler is None else self._scaler.state

    async def close(self) -> None:
        """Stop scaling; the workers stay as they are. Steered again, it starts anew."""
        await end(self._tasks)
        self._tasks = []
        self._scaler = self._failure = None

    async def _scale(
        self,
        settings: PostgresSettings,
        resource: Manifest,
        former: Sequence["asyncio.Task[None]"],
    ) -> None:
        # Two would set the workers' number against each other.
        await end(former)
        self._scaler = None
        try:
            await self._open_and_run(settings, resource)
        except OrchestratorError as error:
            # From opening: what runs outlives every failure.
            await self._tell_failure(resource, error)

    async def _open_and_run(self, settings: PostgresSettings, resource: Manifest) -> None:
        # Each has its own: nobody who scales waits for one who tells.
        async with _one_connection(settings) as scaling, _one_connection(settings) as telling:
            recorder = Recorder(PoolStore(telling), self._report)
            workers = KubernetesWorkers(self._cluster, resource=resource, show=recorder.show)
            # Steered meanwhile, it begins with the latest.
            self._scaler = Scaler(target=self._target, source=LoadStore(scaling), actuator=workers)
            self._failure = None
            recording = asyncio.create_task(recorder.run(), name="record a pool")
            try:
                await self._scaler.run()
            finally:
                await end([recording])

    async def _tell_failure(self, resource: Manifest, error: OrchestratorError) -> None:
        """Say why it does not start, once: every pass tries again."""
        message = f"the database can't be reached as its Secret says: {error}"
        finding = Finding(LOAD_UNAVAILABLE, message, is_true=False)
        if self._failure is not None and self._failure.active == finding:
            return
        self._failure = replace(NOTHING_SEEN, active=finding, is_faulty=True, reason=message)
        _log.warning("scaling_not_started", error=str(error))
        await emit(self._cluster, resource, type_=WARNING, reason=finding.reason, message=message)

    def _report(self) -> PoolReport | None:
        """Return what to tell of the pool; None while there is nothing to tell."""
        if self._scaler is None:
            return None
        return to_report(
            self._scaler.state, self._target, pod_start_seconds=self._scaler.pod_start_seconds
        )


def to_postgres_settings(context: Context) -> PostgresSettings:
    """Return how to reach the resource's Postgres from another namespace."""
    postgres = context.credentials.postgres
    # A name without a dot is a Service's, beside the pods.
    is_near = "." not in postgres.host and ":" not in postgres.host
    return PostgresSettings(
        DB_HOST=f"{postgres.host}.{context.namespace}.svc" if is_near else postgres.host,
        DB_PORT=postgres.port,
        DB_USER=postgres.user,
        DB_PASSWORD=SecretStr(postgres.password),
        DB_NAME=postgres.place,
        DB_SSLMODE=SslMode.VERIFY_FULL if postgres.is_tls else SslMode.DISABLE,
        authority=postgres.authority or None,
    )


def _to_fact(finding: Finding) -> Fact:
    return Fact(finding.reason, finding.message, finding.is_true)
