"""``python -m orchestrator_api migrate`` as the migration Job runs it, with golang-migrate."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import asyncpg
import pytest

import services
from orchestrator_core.postgres.database import Database
from orchestrator_core.settings import PostgresSettings

MIGRATIONS = Path(__file__).parents[3] / "migrations"


@pytest.fixture
def golang_migrate() -> str:
    program = os.environ.get("ORCHESTRATOR_API_MIGRATE_BINARY") or shutil.which("migrate")
    assert program, (
        "golang-migrate is missing: run `make integration`, which builds it,"
        " or set ORCHESTRATOR_API_MIGRATE_BINARY"
    )
    return program


@pytest.fixture
async def empty_database(database: Database) -> Database:
    async with database.answering("empty") as connection:
        await connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    return database


def run_migrate(
    postgres: PostgresSettings, program: str, folder: Path = MIGRATIONS, **environment: str
) -> tuple[int, str]:
    """Run the command; return exit code and output."""
    finished = subprocess.run(
        [sys.executable, "-m", "orchestrator_api", "migrate"],
        env={
            "PATH": os.environ["PATH"],
            "DB_HOST": postgres.host,
            "DB_PORT": str(postgres.port),
            "DB_NAME": postgres.database,
            "DB_PASSWORD": "canary",
            "ORCHESTRATOR_API_MIGRATE_BINARY": program,
            "ORCHESTRATOR_API_MIGRATIONS_DIR": str(folder),
            **environment,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    return finished.returncode, finished.stdout


async def tables_of(database: Database) -> set[str]:
    async with database.answering("look") as connection:
        rows = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    return {row["tablename"] for row in rows}


async def test_an_empty_database_gets_the_whole_schema_and_a_second_run_changes_nothing(
    empty_database: Database, postgres_settings: PostgresSettings, golang_migrate: str
) -> None:
    first = run_migrate(postgres_settings, golang_migrate)
    tables = await tables_of(empty_database)

    second = run_migrate(postgres_settings, golang_migrate)

    assert first[0] == 0, first[1]
    assert {"users", "tasks", "live_tasks", "task_events", "task_results"} <= tables
    assert second[0] == 0
    assert "no change" in second[1]
    assert "canary" not in first[1] + second[1]


async def test_a_migration_that_met_a_lock_runs_when_the_lock_is_gone(
    empty_database: Database,
    postgres_settings: PostgresSettings,
    golang_migrate: str,
    tmp_path: Path,
) -> None:
    (tmp_path / "0001_first.up.sql").write_text("CREATE TABLE good (id int);")
    (tmp_path / "0002_second.up.sql").write_text(
        "SET lock_timeout = '100ms'; CREATE TABLE half (id int); ALTER TABLE busy ADD COLUMN n int;"
    )
    other = await asyncpg.connect(
        host=postgres_settings.host,
        port=postgres_settings.port,
        user=postgres_settings.user,
        database=postgres_settings.database,
    )
    await other.execute("CREATE TABLE busy (id int)")

    try:
        async with other.transaction():
            await other.execute("LOCK TABLE busy IN ACCESS SHARE MODE")
            refused = run_migrate(postgres_settings, golang_migrate, tmp_path)
        left = await tables_of(empty_database)
        repeated = run_migrate(postgres_settings, golang_migrate, tmp_path)
    finally:
        await other.close()

    assert refused[0] == 1
    assert refused[1].endswith(
        "(details: pq: canceling statement due to lock timeout);"
        " nothing of migration 2 stays, and it can simply be run again\n"
    )
    assert left == {"busy", "good", "schema_migrations"}
    assert repeated[0] == 0, repeated[1]
    assert "half" in await tables_of(empty_database)


async def test_a_first_migration_with_a_mistake_runs_once_it_is_mended(
    empty_database: Database,
    postgres_settings: PostgresSettings,
    golang_migrate: str,
    tmp_path: Path,
) -> None:
    migration = tmp_path / "0001_first.up.sql"
    migration.write_text("CREATE TABLE half (id int); SELEC 1;")
    refused = run_migrate(postgres_settings, golang_migrate, tmp_path)
    left = await tables_of(empty_database)

    migration.write_text("CREATE TABLE half (id int); SELECT 1;")
    mended = run_migrate(postgres_settings, golang_migrate, tmp_path)

    assert refused[0] == 1
    assert "golang-migrate failed" in refused[1]
    assert "syntax error" in refused[1]
    assert "nothing of migration 1 stays" in refused[1]
    assert "Traceback" not in refused[1]
    assert "half" not in left
    assert mended[0] == 0, mended[1]


async def test_a_migration_that_lost_its_connection_is_explained_as_stuck(
    empty_database: Database,
    postgres_settings: PostgresSettings,
    golang_migrate: str,
    tmp_path: Path,
) -> None:
    (tmp_path / "0001_cut_off.up.sql").write_text(
        "CREATE TABLE half (id int); SELECT pg_terminate_backend(pg_backend_pid());"
    )

    failed = run_migrate(postgres_settings, golang_migrate, tmp_path)
    stuck = run_migrate(postgres_settings, golang_migrate, tmp_path)

    assert failed[0] == stuck[0] == 1
    assert "golang-migrate failed" in failed[1]
    assert "run again" not in failed[1]
    assert "the schema is stuck in migration 1" in stuck[1]
    assert "Traceback" not in failed[1] + stuck[1]
    assert "half" not in await tables_of(empty_database)


def test_without_postgres_it_tries_within_its_budget_and_says_whom_it_waited_for() -> None:
    port = services.free_port()
    started = time.monotonic()

    code, output = run_migrate(
        PostgresSettings(DB_HOST="127.0.0.1", DB_PORT=port),
        "never reached",
        ORCHESTRATOR_API_MIGRATE_WAIT_SECONDS="1.5",
    )

    assert code == 1
    assert f"Postgres at 127.0.0.1:{port} did not answer within" in output
    assert "waiting for Postgres" in output
    assert "Traceback" not in output
    assert "canary" not in output
    assert 1.5 <= time.monotonic() - started < 20
