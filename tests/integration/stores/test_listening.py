"""Announcements: heard on one connection, which comes back whenever it is lost."""

import asyncio
from collections.abc import AsyncIterator
from random import Random

import pytest

from orchestrator_core.postgres.database import Database
from orchestrator_core.postgres.listening import Listener
from orchestrator_core.settings import PostgresSettings

APPLICATION = "the listener under test"


class Ears(Random):
    """What was heard, in order; asked for a chance only after a failure."""

    def __init__(self) -> None:
        super().__init__(1)
        self.failed = asyncio.Event()
        self.heard: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
        self.connected: asyncio.Queue[None] = asyncio.Queue()

    def listener(
        self, settings: PostgresSettings, *channels: str, ping_seconds: float = 5.0
    ) -> Listener:
        return Listener(
            settings,
            {each: self._ear(each) for each in channels},
            application=APPLICATION,
            chance=self,
            on_connect=lambda: self.connected.put_nowait(None),
            ping_seconds=ping_seconds,
        )

    def uniform(self, a: float, b: float) -> float:
        self.failed.set()
        return super().uniform(a, b)

    def _ear(self, channel: str):
        return lambda payload: self.heard.put_nowait((channel, payload))


@pytest.fixture
async def ears(postgres_settings: PostgresSettings) -> AsyncIterator[Ears]:
    ears = Ears()
    running = asyncio.create_task(ears.listener(postgres_settings, "one", "two").run())
    await ears.connected.get()
    yield ears
    running.cancel()
    await asyncio.wait({running})


async def notify(database: Database, channel: str, payload: str) -> None:
    async with database.answering("notify") as connection:
        await connection.execute("SELECT pg_notify($1, $2)", channel, payload)


async def end_listeners(database: Database) -> int:
    async with database.answering("end") as connection:
        ended: int = await connection.fetchval(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            " WHERE application_name = $1 AND datname = current_database()",
            APPLICATION,
        )
    return ended


async def test_each_channel_has_its_own_ear_on_one_connection(
    ears: Ears, database: Database
) -> None:
    await notify(database, "two", "for the second")
    await notify(database, "three", "for nobody")
    await notify(database, "one", "for the first")

    assert await ears.heard.get() == ("two", "for the second")
    assert await ears.heard.get() == ("one", "for the first")
    assert await end_listeners(database) == 1


async def test_a_lost_connection_comes_back_and_says_so(ears: Ears, database: Database) -> None:
    await end_listeners(database)
    await notify(database, "one", "while nobody listens")
    await ears.connected.get()
    await notify(database, "one", "again")

    assert await ears.heard.get() == ("one", "again")


async def test_a_good_connection_outlives_its_pings(
    postgres_settings: PostgresSettings, database: Database
) -> None:
    ears = Ears()
    listener = ears.listener(postgres_settings, "one", ping_seconds=0.01)
    running = asyncio.create_task(listener.run())
    await ears.connected.get()

    pings: set[object] = set()
    connections: set[object] = set()
    async with database.answering("watch") as connection:
        while len(pings) < 5:
            row = await connection.fetchrow(
                "SELECT pid, query_start FROM pg_stat_activity"
                " WHERE application_name = $1 AND datname = current_database()",
                APPLICATION,
            )
            pings.add(row["query_start"])
            connections.add(row["pid"])
    running.cancel()
    await asyncio.wait({running})

    assert len(connections) == 1
    assert not ears.failed.is_set()


async def test_it_tries_until_the_server_lets_it_in(
    postgres_settings: PostgresSettings, database: Database
) -> None:
    role = f"late_{postgres_settings.database}"
    settings = postgres_settings.model_copy(update={"user": role})
    ears = Ears()
    running = asyncio.create_task(ears.listener(settings, "one").run())
    await ears.failed.wait()

    async with database.answering("let it in") as connection:
        await connection.execute(f"CREATE ROLE {role} LOGIN")
        await ears.connected.get()
        running.cancel()
        await asyncio.wait({running})
        await connection.execute(f"DROP ROLE {role}")

    assert running.cancelled()
