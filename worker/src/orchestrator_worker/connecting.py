"""Connections beside the main ones, for parts that must not wait for each other.

Before: ``app`` knows where Postgres is.
After: the thread that keeps leases, and ``supplying``, have stores of their own.
"""

import functools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from orchestrator_core.postgres.database import Database
from orchestrator_core.postgres.file_store import PostgresUploadStore
from orchestrator_core.postgres.owner_store import PostgresOwnersData
from orchestrator_core.postgres.task_store import TaskStore
from orchestrator_core.settings import PostgresSettings
from orchestrator_worker.fetching import Fetcher, FetchRules
from orchestrator_worker.folders import Folders
from orchestrator_worker.settings import WorkerSettings
from orchestrator_worker.supplying import SUPPLIES_AT_ONCE, Supplier

SUPPLY_CONNECTIONS = SUPPLIES_AT_ONCE
"""One for each; async handlers that ask for their owner's data take turns with them."""

SUPPLY_PATIENCE_SECONDS = 10.0
"""For a connection: no request waits here, only an attempt."""

SUPPLY_STATEMENT_SECONDS = 30.0
"""A report counts all tasks of its owner in one statement; nothing of the hot path waits for it."""


@asynccontextmanager
async def opened_lease_store(postgres: PostgresSettings) -> AsyncIterator[TaskStore]:
    """Open the store of the thread that keeps leases, with a connection of its own."""
    async with Database.open(
        postgres, application="orchestrator-worker-leases", max_connections=1
    ) as database:
        yield TaskStore(database)


@asynccontextmanager
async def opened_supplier(
    settings: WorkerSettings, postgres: PostgresSettings
) -> AsyncIterator[Supplier]:
    """Open what brings attempts their files, with connections of its own."""
    patient = postgres.model_copy(update={"statement_timeout_seconds": SUPPLY_STATEMENT_SECONDS})
    async with (
        Database.open(
            patient,
            application="orchestrator-worker-supplies",
            max_connections=SUPPLY_CONNECTIONS,
            acquire_seconds=SUPPLY_PATIENCE_SECONDS,
        ) as database,
        Folders.open() as folders,
    ):
        yield Supplier(
            folders,
            PostgresUploadStore(database),
            functools.partial(PostgresOwnersData, database),
            _build_fetcher(settings),
        )


def _build_fetcher(settings: WorkerSettings) -> Fetcher | None:
    if settings.source_urls == "Disabled":
        return None
    rules = FetchRules(
        max_bytes=settings.source_url_max_bytes, denied=settings.source_url_denied_networks
    )
    return Fetcher(rules)
