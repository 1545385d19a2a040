"""Make the parts of a worker and pass each what it needs.

Before: ``app`` has opened the database and the lanes.
After: ``app`` runs the parts.
"""

import functools
from collections.abc import Awaitable, Mapping
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
from orchestrator_worker.executing import Executor
from orchestrator_worker.journeys import Journeys, Stations
from orchestrator_worker.leasing import Leases
from orchestrator_worker.processes import Lanes
from orchestrator_worker.reporting import Reporter, Totals
from orchestrator_worker.settings import WorkerSettings
from orchestrator_worker.settling import Settler
from orchestrator_worker.slots import Slots


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What was opened for the parts, and outlives them."""

    database: Database
    lanes: Lanes
    handlers: Mapping[str, Handler]
    chance: Random


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """The parts of a running worker that know of each other only here."""

    store: WorkerStore
    stations: Stations
    journeys: Journeys
    reporter: Reporter
    announcer: Announcer
    consuming: Consuming
    signals: StopSignals

    def livez(self) -> str | None:
        """Alive: its loop turns, and its consumer is served or waits for the broker."""
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
    slots, totals = Slots(settings.concurrency), Totals()
    tasks, store = TaskStore(resources.database), WorkerStore(resources.database)
    announcer = Announcer(EventStore(resources.database))
    claimer = Claimer(
        announcer.after(
            functools.partial(tasks.claim, worker_id=worker_id, lease_seconds=lease_seconds)
        ),
        chance=chance,
    )
    stations = Stations(
        leases=Leases(
            functools.partial(tasks.extend_leases, lease_seconds=lease_seconds),
            lease_seconds=lease_seconds,
        ),
        executor=Executor(
            resources.handlers,
            resources.lanes,
            task_timeout_seconds=settings.task_timeout_seconds,
            max_result_bytes=settings.max_result_bytes,
            chance=chance,
        ),
        settler=Settler(announcer.after(tasks.settle), slots=slots.total, chance=chance),
    )

    def report(completions: int, busy_seconds: float) -> Awaitable[None]:
        return store.report(
            worker_id,
            pod_name=settings.pod_name,
            completions=completions,
            busy_seconds=busy_seconds,
        )

    journeys = Journeys(stations, slots, totals)
    client = f"orchestrator-worker {settings.pod_name}"
    return Worker(
        store=store,
        stations=stations,
        journeys=journeys,
        reporter=Reporter(report, totals),
        announcer=announcer,
        consuming=Consuming(amqp, slots, claimer, journeys.start, client=client, chance=chance),
        signals=signals,
    )
