"""The catalogue of task types reaches the API, also when the schema comes late."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from orchestrator_core.postgres.worker_store import WorkerStore
from orchestrator_core.settings import PostgresSettings
from worker_bench import Bench, until

MIGRATIONS = Path(__file__).parents[3] / "migrations"


async def run_sql(settings: PostgresSettings, *statements: str) -> None:
    connection = await asyncpg.connect(
        host=settings.host, port=settings.port, user=settings.user, database=settings.database
    )
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


@pytest.fixture
async def unmigrated(postgres_settings: PostgresSettings) -> AsyncIterator[PostgresSettings]:
    """An empty database."""
    name = f"empty_{uuid.uuid4().hex}"
    await run_sql(postgres_settings, f"CREATE DATABASE {name}")
    yield postgres_settings.model_copy(update={"database": name})
    await run_sql(postgres_settings, f"DROP DATABASE {name} WITH (FORCE)")


async def test_the_job_waits_for_the_schema_and_publishes_every_type(
    bench: Bench, unmigrated: PostgresSettings
) -> None:
    job = await bench.start_worker(postgres=unmigrated, arguments=("publish-types",))
    await job.logged("types_not_published_yet")

    steps = [path.read_text(encoding="utf-8") for path in sorted(MIGRATIONS.glob("*.up.sql"))]
    await run_sql(unmigrated, *steps)

    assert await job.ended() == 0
    assert "IMAGE_RESIZE" in (await job.logged("types_published"))["types"]


async def test_a_worker_publishes_its_types_when_it_starts(bench: Bench) -> None:
    await bench.start_worker()
    store = WorkerStore(bench.database)

    async def look() -> dict[str, str] | None:
        return {each.name: each.payload_schema for each in await store.list_types()} or None

    schemas = await until(look)
    assert {"IMAGE_RESIZE", "resize_image", "demo_sleep"} <= schemas.keys()
    assert json.loads(schemas["IMAGE_RESIZE"])["properties"]["quality"]["maximum"] == 100


async def test_settings_that_can_not_be_right_are_refused_with_a_sentence(bench: Bench) -> None:
    worker = await bench.start_worker(CONCURRENCY="many")

    assert await asyncio.wait_for(worker.ended(), 30) == 2
    line = await worker.logged("refused")
    assert "ORCHESTRATOR_WORKER_CONCURRENCY" in line["reason"]
