"""Make the parts of a worker and pass each what it needs.

Before: ``app`` has opened the database and the lanes.
After: ``app`` runs the parts.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from uuid import UUID

from orchestrator_core.handlers import Handler
from orchestrator_core.postgres.announcing import Announcer
from orchestrator_core.postgres.database import Database
from orchestrator_core.postgres.event_store import EventStore
from orchestrator_core.postgres.task_store import TaskStore
from orchestrator_core.postgres.worker_store import WorkerStore
from orchestrator_core.settings import AmqpSettings
from orchestrator_worker.claiming import Claimer
from orchestrator_worker.consuming import Consuming
from orchestrator_worker.draining import StopSignals
from orchestrator_worker.executing import Executor, Limits
from orchestrator_worker.journeys import Journeys, Stations
from orchestrator_worker.leasing import LeaseKeeper, Leases, OpenStore
from orchestrator_worker.metrics import Metrics
from orchestrator_worker.processes import Lanes
from orchestrator_worker.reporting import Reporter, Totals
from orchestrator_worker.settings import WorkerSettings
from orchestrator_worker.settling import Settler
from orchestrator_worker.slots import Slots
from orchestrator_worker.storing import ResultStorage
from orchestrator_worker.supplying import Supplier
from orchestrator_worker.watching import Watchdog


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What was opened for the parts, and outlives them."""

    database: Database
    open_lease_store: OpenStore
    lanes: Lanes
    supplier: Supplier
    storage: ResultStorage
    handlers: Mapping[str, Handler]
    metrics: Metrics
    chance: Random


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """The parts of a running worker that know of each other only here."""

    store: WorkerStore
    stations: Stations
    journeys: Journeys
    keeper: LeaseKeeper
    watchdog: Watchdog
    reporter: Reporter
    announcer: Announcer
    consuming: Consuming
    signals: StopSignals

    def livez(self) -> str | None:
        """Alive: its loop turns, and its consumer is served or waits for the broker."""
        if self.signals.asked.is_set():
            return None
        return "the consumer shows no sign of life" if self.consuming.is_stalled else None

    def readyz(self) -> str | None:
        """Of use: it would run a task that became due now."""
        if self.signals.asked.is_set():
            return "draining"
        if not self.reporter.is_answered:
            return "Postgres does not answer"
        return None if self.consuming.is_subscribed else "RabbitMQ does not answer"


def wire(
    settings: WorkerSettings,
    amqp: AmqpSettings,
    resources: Resources,
    *,
    signals: StopSignals,
    worker_id: UUID,
) -> Worker:
    """Return a worker that has not begun."""
    chance, lease_seconds = resources.chance, settings.lease_seconds
    slots, totals, metrics = Slots(settings.concurrency), Totals(), resources.metrics
    metrics.watch_slots(slots)
    tasks, store = _task_store(settings, resources), WorkerStore(resources.database)
    announcer = Announcer(EventStore(resources.database))
    claimer = Claimer(
        announcer.after(
            functools.partial(tasks.claim, worker_id=worker_id, lease_seconds=lease_seconds)
        ),
        count=metrics.count_claims,
        chance=chance,
    )
    stations = Stations(
        leases=Leases(),
        executor=Executor(
            resources.handlers,
            resources.lanes,
            resources.supplier,
            resources.storage.keep,
            limits=Limits(
                task_timeout_seconds=settings.task_timeout_seconds,
                max_result_bytes=resources.storage.max_result_bytes,
            ),
            chance=chance,
        ),
        settler=Settler(
            announcer.after(tasks.settle),
            slots=slots.total,
            count=metrics.count_settled,
            chance=chance,
        ),
    )
    journeys = Journeys(stations, slots, totals, metrics)
    client = f"orchestrator-worker {settings.pod_name}"
    consuming = Consuming(amqp, slots, claimer, journeys.start, client=client, chance=chance)
    keeper = LeaseKeeper(
        stations.leases,
        resources.open_lease_store,
        lease_seconds=lease_seconds,
        on_progress=announcer.offer,
    )
    reporter = Reporter(
        functools.partial(store.report, worker_id, pod_name=settings.pod_name),
        totals,
        slots,
        is_resting=lambda: consuming.is_resting,
        on_cordon=lambda is_cordoned: consuming.cordon(is_cordoned=is_cordoned),
    )
    slots.on_change(reporter.slots_changed)
    metrics.stores.watch_pool(resources.database)
    metrics.stores.tell_by("postgres", lambda: reporter.is_answered)
    metrics.stores.tell_by("rabbitmq", lambda: consuming.is_subscribed)
    return Worker(
        store=store,
        stations=stations,
        journeys=journeys,
        keeper=keeper,
        watchdog=Watchdog(
            stall_seconds=settings.stall_seconds,
            # A worker that drains consumes no more, for as long as its attempts take.
            is_consumer_silent=lambda: consuming.is_stalled and not signals.asked.is_set(),
            is_keeper_dead=lambda: keeper.is_dead,
        ),
        reporter=reporter,
        announcer=announcer,
        consuming=consuming,
        signals=signals,
    )


def _task_store(settings: WorkerSettings, resources: Resources) -> TaskStore:
    return TaskStore(resources.database, keep_results_seconds=settings.result_ttl_seconds)
