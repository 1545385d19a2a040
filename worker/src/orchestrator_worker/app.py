"""Where everything meets: open the resources, run the parts until asked to stop.

Before: ``__main__`` has read the settings.
After: the process exits, every attempt settled or handed back.
"""

import asyncio
import functools
from contextlib import AsyncExitStack
from importlib.metadata import version
from random import SystemRandom
from uuid import uuid4

import structlog

from orchestrator_core.ending import end
from orchestrator_core.garbage import spare_imports
from orchestrator_core.handlers import discover_handlers
from orchestrator_core.metrics import serving_metrics
from orchestrator_core.postgres.database import Database
from orchestrator_core.postgres.worker_store import WorkerStore
from orchestrator_core.settings import PostgresSettings
from orchestrator_core.spans import exporting
from orchestrator_worker.connecting import build_storage, opened_lease_store, opened_supplier
from orchestrator_worker.draining import StopSignals, drain
from orchestrator_worker.health import serving_health
from orchestrator_worker.metrics import Metrics
from orchestrator_worker.processes import Lanes
from orchestrator_worker.publishing import publish
from orchestrator_worker.settings import METRICS_PORT_VARIABLE, ProcessSettings
from orchestrator_worker.wiring import Resources, Worker, wire

CONNECTIONS = 4
"""One each for claiming, settling and reporting, which never overlap with themselves,
and one for publishing at the start and announcing from then on, and for expecting objects."""

STOP_SECONDS = 5.0
"""A statement has 3 s; a broker that does not answer is left to notice by itself."""

PUBLISH_BUDGET_SECONDS = 60.0

_log = structlog.get_logger(__name__)


async def serve(settings: ProcessSettings) -> None:
    """Work until SIGTERM or SIGINT, then drain.

    Raises:
        HandlerSetupError: an installed package of task types can't be served.
        SettingsError: the object store's settings fit no bucket, or the metrics' port is taken.
        OSError: the health port is in use.
    """
    own, signals, worker_id = settings.worker, StopSignals(), uuid4()
    chance = SystemRandom()
    signals.listen()
    _log.info("starting", worker_id=str(worker_id), pod_name=own.pod_name)
    metrics = Metrics()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(
            serving_metrics(metrics.registry, port=own.metrics_port, variable=METRICS_PORT_VARIABLE)
        )
        await stack.enter_async_context(
            exporting(
                settings.tracing,
                app="worker",
                version=version("orchestrator-worker"),
                instance=own.pod_name,
            )
        )
        database = await stack.enter_async_context(
            Database.open(
                settings.postgres, application="orchestrator-worker", max_connections=CONNECTIONS
            )
        )
        resources = Resources(
            database=database,
            open_lease_store=functools.partial(opened_lease_store, settings.postgres),
            lanes=await stack.enter_async_context(
                Lanes.open(own.concurrency, chance=chance, log_level=own.log_level)
            ),
            supplier=await stack.enter_async_context(opened_supplier(own, settings.postgres)),
            storage=build_storage(own, settings.s3, database, chance=chance),
            handlers=discover_handlers(),
            metrics=metrics,
            chance=chance,
        )
        worker = wire(own, settings.amqp, resources, signals=signals, worker_id=worker_id)
        checks = {"/livez": worker.livez, "/readyz": worker.readyz}
        await stack.enter_async_context(serving_health(own.health_port, checks))
        spare_imports()
        await run(worker, resources, drain_seconds=own.drain_seconds)


async def publish_types(settings: PostgresSettings) -> None:
    """Write the catalogue of task types and return.

    Raises:
        HandlerSetupError: an installed package of task types can't be served.
        StoreUnavailableError: Postgres or its schema was not there for a minute.
    """
    handlers = discover_handlers().values()
    async with Database.open(
        settings, application="orchestrator-publish-types", max_connections=1
    ) as database:
        await publish(
            WorkerStore(database),
            handlers,
            budget_seconds=PUBLISH_BUDGET_SECONDS,
            chance=SystemRandom(),
        )


async def run(worker: Worker, resources: Resources, *, drain_seconds: float) -> None:
    """Run every part until asked to stop; a part that breaks ends the process."""
    stations = worker.stations
    async with asyncio.TaskGroup() as group:
        consuming = group.create_task(worker.consuming.run())
        background = [
            group.create_task(each)
            for each in (
                worker.watchdog.run(),
                worker.keeper.run(),
                stations.settler.run(),
                worker.reporter.run(),
                worker.announcer.run(),
                resources.lanes.warm(),
                publish(
                    worker.store,
                    resources.handlers.values(),
                    budget_seconds=None,
                    chance=resources.chance,
                ),
            )
        ]
        await worker.signals.asked.wait()
        worker.consuming.stop()
        # A claim under way is worth waiting for: given up, it would cost its task an attempt.
        await asyncio.wait({consuming}, timeout=STOP_SECONDS)
        # Not waited for yet: a broker that does not answer must not hold up who drains.
        consuming.cancel()
        await drain(
            worker.journeys,
            stations.leases,
            drain_seconds=drain_seconds,
            hurried=worker.signals.hurried,
        )
        await worker.reporter.report()
        await end([consuming, *background])
