"""Connections beside the main ones, for parts that must not wait for each other.

Before: ``app`` knows where Postgres is.
After: the thread that keeps leases, ``supplying`` and ``storing`` have stores of their own.
"""

import functools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

from orchestrator_core.handlers import DEFAULT_MAX_RESULT_BYTES
from orchestrator_core.postgres.database import Database
from orchestrator_core.postgres.file_store import PostgresUploadStore
from orchestrator_core.postgres.owner_store import PostgresOwnersData
from orchestrator_core.postgres.result_store import PostgresResultStore
from orchestrator_core.postgres.task_store import TaskStore
from orchestrator_core.s3.object_store import WRITER, build_object_store
from orchestrator_core.settings import PostgresSettings, S3Settings
from orchestrator_worker.fetching import Fetcher, FetchRules
from orchestrator_worker.folders import Folders
from orchestrator_worker.settings import WorkerSettings
from orchestrator_worker.storing import ObjectKeeper, ResultStorage, carry_result
from orchestrator_worker.supplying import SUPPLIES_AT_ONCE, Supplier

SUPPLY_CONNECTIONS = SUPPLIES_AT_ONCE
"""One for each; async handlers that ask for their owner's data take turns with them."""

SUPPLY_PATIENCE_SECONDS = 10.0
"""For a connection: no request waits here, only an attempt."""

SUPPLY_STATEMENT_SECONDS = 30.0
"""A report counts all tasks of its owner in one statement; nothing of the hot path waits for it."""

MAX_OBJECT_BYTES = 512 * 1024 * 1024
"""Of a result in an object store, which is never in memory as a whole if its type writes it to
the disk; a result in a row is, and is written in one statement of at most 3 s."""


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


def build_storage(
    settings: WorkerSettings, s3: S3Settings, database: Database, *, chance: Random
) -> ResultStorage:
    """Return where results go: into their rows, or into a bucket if one is named.

    Raises:
        SettingsError: the settings fit no bucket.
    """
    objects = build_object_store(s3, WRITER)
    if objects is None:
        return ResultStorage(carry_result, settings.max_result_bytes or DEFAULT_MAX_RESULT_BYTES)
    keeper = ObjectKeeper(objects, PostgresResultStore(database).expect, chance=chance)
    return ResultStorage(keeper.keep, settings.max_result_bytes or MAX_OBJECT_BYTES)


def _build_fetcher(settings: WorkerSettings) -> Fetcher | None:
    if settings.source_urls == "Disabled":
        return None
    rules = FetchRules(
        max_bytes=settings.source_url_max_bytes, denied=settings.source_url_denied_networks
    )
    return Fetcher(rules)
