"""A statement that nobody waits for any more, on a Postgres that does not answer."""

import asyncio
import time

import pytest

import services
from orchestrator_core.errors import StoreUnavailableError
from orchestrator_core.postgres.database import Database

SOON_SECONDS = 1.5
"""A connection is let go within a quarter of a second."""


async def sleep_in(database: Database) -> None:
    async with database.answering("sleep") as connection:
        await connection.execute("SELECT pg_sleep(30)")


async def test_who_is_cancelled_ends_cancelled_and_soon(
    database: Database, postgres_service: services.Service
) -> None:
    await database.ping()
    sleeping = asyncio.create_task(sleep_in(database))
    await asyncio.sleep(0.3)

    with services.paused(postgres_service):
        began = time.monotonic()
        sleeping.cancel()
        await asyncio.wait({sleeping}, timeout=10)
        seconds = time.monotonic() - began

    # A loop that is told to end, and hears that Postgres is away instead, goes on.
    assert sleeping.cancelled()
    assert seconds < SOON_SECONDS
    await database.ping()


async def test_a_deadline_of_the_caller_s_is_not_waited_past(
    database: Database, postgres_service: services.Service
) -> None:
    await database.ping()

    with services.paused(postgres_service):
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await sleep_in(database)
        seconds = time.monotonic() - began

    assert seconds < 0.5 + SOON_SECONDS
    await database.ping()


async def test_a_statement_s_own_deadline_says_that_postgres_is_away(
    database: Database, postgres_service: services.Service
) -> None:
    await database.ping()

    with services.paused(postgres_service), pytest.raises(StoreUnavailableError, match="sleep"):
        await sleep_in(database)

    await database.ping()
