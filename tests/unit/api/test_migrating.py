"""What the migration command says and does, with a stand-in for golang-migrate."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator_api import migrating
from orchestrator_api.migrating import MigrateSettings, MigrationError, migrate
from orchestrator_core.settings import PostgresSettings

POSTGRES = PostgresSettings(
    DB_HOST="127.0.0.1", DB_PORT=1, DB_USER="o'brien@x", DB_PASSWORD="canary", DB_NAME="task/db"
)
Program = Callable[[str], MigrateSettings]


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """A program that runs a shell script instead of migrating, beside one migration."""
    folder = tmp_path / "migrations"
    folder.mkdir()
    (folder / "0001_first.up.sql").write_text("SELECT 1;")

    def make(script: str) -> MigrateSettings:
        path = tmp_path / "migrate"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return MigrateSettings(
            ORCHESTRATOR_API_MIGRATE_BINARY=str(path), ORCHESTRATOR_API_MIGRATIONS_DIR=folder
        )

    return make


@pytest.fixture(autouse=True)
def postgres_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async def up(_: PostgresSettings, __: float) -> None:
        return None

    monkeypatch.setattr(migrating, "_await_postgres", up)


def test_golang_migrate_gets_the_folder_the_address_and_a_lock_timeout(
    program: Program, tmp_path: Path
) -> None:
    settings = program(f'printf "%s\\n" "$@" > {tmp_path}/arguments')

    migrate(settings, POSTGRES)

    assert (tmp_path / "arguments").read_text().splitlines() == [
        "-path",
        str(settings.folder),
        "-database",
        "postgres://o%27brien%40x@127.0.0.1:1/task%2Fdb?sslmode=disable&connect_timeout=5",
        "-lock-timeout",
        "30",
        "up",
    ]


def test_the_password_goes_by_environment_and_never_by_argument(
    program: Program, tmp_path: Path
) -> None:
    migrate(
        program(f'echo "$PGPASSWORD" > {tmp_path}/password; echo "$@" > {tmp_path}/a'), POSTGRES
    )

    assert (tmp_path / "password").read_text() == "canary\n"
    assert "canary" not in (tmp_path / "a").read_text()
    assert "PGPASSWORD" not in os.environ


def test_a_schema_stuck_half_way_is_explained_with_what_to_do(program: Program) -> None:
    stuck = program('echo "error: Dirty database version 2. Fix and force version."; exit 1')

    with pytest.raises(MigrationError, match=r"stuck in migration 2.*migrate \.\.\. force 2"):
        migrate(stuck, POSTGRES)


def test_any_other_failure_is_passed_on(program: Program) -> None:
    failing = program('echo "error: migration failed: syntax error at or near SELEC"; exit 1')

    with pytest.raises(MigrationError, match="golang-migrate failed: error: migration failed"):
        migrate(failing, POSTGRES)


def test_a_missing_program_is_explained(program: Program) -> None:
    settings = program("true").model_copy(update={"binary": "/nowhere/migrate"})

    with pytest.raises(MigrationError, match="set ORCHESTRATOR_API_MIGRATE_BINARY"):
        migrate(settings, POSTGRES)


def test_a_folder_without_migrations_is_explained(program: Program, tmp_path: Path) -> None:
    settings = program("true").model_copy(update={"folder": tmp_path / "nowhere"})

    with pytest.raises(MigrationError, match="set ORCHESTRATOR_API_MIGRATIONS_DIR"):
        migrate(settings, POSTGRES)


def test_migrations_that_hang_are_stopped(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrating, "MIGRATE_SECONDS", 0.1)

    with pytest.raises(MigrationError, match="took longer than"):
        migrate(program("exec sleep 60"), POSTGRES)
