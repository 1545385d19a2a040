"""The schema keeps what it promises by itself and is the sum of the migrations."""

import os
import subprocess
from pathlib import Path

import asyncpg
import pytest

import services
from orchestrator_core.postgres.database import Database
from orchestrator_core.settings import PostgresSettings

MIGRATIONS = Path(__file__).parents[3] / "migrations"

A_TASK = """
INSERT INTO tasks (user_id, task_type, payload, max_attempts, timeout_seconds, trace_context,
                   status, finished_at, error_code, result_file)
SELECT id, 'T', '{}', 3, 60, 'trace', $1::task_status,
       CASE WHEN $1 IN ('COMPLETED', 'FAILED', 'CANCELLED') THEN now() END, 'X', 'result/x'
FROM users
RETURNING id
"""


async def test_an_epoch_never_goes_back(database: Database) -> None:
    async with database.answering("move a task") as connection:
        await connection.execute("INSERT INTO users (username, password_hash) VALUES ('ada', 'x')")
        task_id = await connection.fetchval(A_TASK, "PENDING")
        await connection.execute("UPDATE tasks SET epoch = 2 WHERE id = $1", task_id)

        with pytest.raises(asyncpg.CheckViolationError, match="may not go back"):
            await connection.execute("UPDATE tasks SET epoch = 1 WHERE id = $1", task_id)


async def test_events_are_append_only(database: Database) -> None:
    async with database.answering("change an event") as connection:
        await connection.execute("INSERT INTO users (username, password_hash) VALUES ('ada', 'x')")
        task_id = await connection.fetchval(A_TASK, "PENDING")
        await connection.execute(
            "INSERT INTO task_events (task_id, seq, epoch, status, kind, actor)"
            " VALUES ($1, 1, 0, 'PENDING', 'ACCEPTED', 'api')",
            task_id,
        )

        with pytest.raises(asyncpg.CheckViolationError, match="append-only"):
            await connection.execute("UPDATE task_events SET actor = 'me'")


async def test_the_migrations_add_up_to_the_schema(postgres_settings: PostgresSettings) -> None:
    dump = dump_schema(postgres_settings)
    if os.environ.get("ORCHESTRATOR_UPDATE_GOLDEN"):
        (MIGRATIONS / "schema.sql").write_text(dump, encoding="utf-8")

    assert dump == (MIGRATIONS / "schema.sql").read_text(encoding="utf-8"), (
        "migrations/schema.sql is not the sum of the migrations: run `make generate`"
    )


async def test_every_migration_can_be_taken_back(database: Database) -> None:
    async with database.answering("migrate down") as connection:
        for step in sorted(MIGRATIONS.glob("*.down.sql"), reverse=True):
            await connection.execute(step.read_text(encoding="utf-8"))
        left = await connection.fetch(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
            " UNION ALL SELECT typname FROM pg_type WHERE typnamespace = 'public'::regnamespace"
            " UNION ALL SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
        )

    assert [row[0] for row in left] == []


def dump_schema(settings: PostgresSettings) -> str:
    """Return ``pg_dump``'s schema without what differs between server versions."""
    folders = sorted((str(p) for p in Path("/usr/lib/postgresql").glob("*/bin")), reverse=True)
    command = [
        services.find_program("pg_dump", *folders),
        "--schema-only",
        "--no-owner",
        f"--host={settings.host}",
        f"--port={settings.port}",
        f"--username={settings.user}",
        settings.database,
    ]
    text = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    lines = [
        line
        for line in text.splitlines()
        if line and not line.startswith(("--", "SET ", "SELECT pg_catalog", "\\"))
    ]
    return "\n".join(lines) + "\n"
