"""What the migration command says and does, with a stand-in for golang-migrate."""

import os
import re
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
MIGRATIONS = Path(__file__).parents[3] / "migrations"
REFUSED = "error: migration failed: {0} in line 0: ALTER\n TABLE tasks; (details: pq: {0})"
LOCK_TIMEOUT = REFUSED.format("canceling statement due to lock timeout")
NO_STATEMENTS = re.compile(r"--[^\n]*|/\*.*?\*/|\$(\w*)\$.*?\$\1\$|'(?:[^']|'')*'", re.DOTALL)
"""Comments, bodies of functions, and strings."""
SPLITS_THE_FILE = re.compile(
    r"\A(?:BEGIN|START|COMMIT|END|ROLLBACK|ABORT|PREPARE|CALL|VACUUM|CLUSTER)\b"
    r"|\A(?:CREATE|DROP|ALTER)\s+(?:DATABASE|TABLESPACE|SYSTEM)\b"
    r"|\bCONCURRENTLY\b",
    re.IGNORECASE,
)


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


def a_failure(words: str, *, version: str = "2 (dirty)", force: str = "exit 0") -> str:
    """Return a script that fails with these words, and notes each command it gets."""
    return f"""
        shift 6
        echo "$PGPASSWORD $*" >> "$(dirname "$0")/commands"
        case $1 in
            up) echo '1/u first (2ms)'; printf '%s\\n' "{words}"; exit 1;;
            version) echo '{version}';;
            force) {force};;
        esac"""


def commands_of(tmp_path: Path) -> list[str]:
    """Return what golang-migrate was told to do, each time with the password beside it."""
    return (tmp_path / "commands").read_text().splitlines()


def test_of_a_migration_that_postgres_refused_nothing_stays_not_even_its_mark(
    program: Program, tmp_path: Path
) -> None:
    settings = program(a_failure(LOCK_TIMEOUT))
    (settings.folder / "0002_second.up.sql").write_text("ALTER TABLE tasks;")
    (settings.folder / "0002_second.down.sql").write_text("ALTER TABLE tasks;")

    with pytest.raises(
        MigrationError,
        match=r"(?s)golang-migrate failed: .*lock timeout\); nothing of migration 2 stays",
    ):
        migrate(settings, POSTGRES)

    assert commands_of(tmp_path) == ["canary up", "canary version", "canary force -- 1"]


def test_before_the_first_migration_there_is_no_version(program: Program, tmp_path: Path) -> None:
    with pytest.raises(MigrationError, match="nothing of migration 1 stays"):
        migrate(program(a_failure(LOCK_TIMEOUT, version="1 (dirty)")), POSTGRES)

    assert commands_of(tmp_path) == ["canary up", "canary version", "canary force -- -1"]


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(
            "error: migration failed in line 0: SELECT 1; (details: driver: bad connection)",
            id="connection lost",
        ),
        pytest.param(
            f"{LOCK_TIMEOUT}\ndriver: bad connection in line 0: SELECT pg_advisory_unlock($1)",
            id="connection lost right after",
        ),
        pytest.param(
            REFUSED.format("terminating connection due to administrator command"),
            id="connection ended by the server",
        ),
        pytest.param(
            "error: try lock failed in line 0: SELECT pg_advisory_lock($1)"
            " (details: pq: canceling statement due to user request)",
            id="not in a migration",
        ),
        pytest.param("error: Dirty database version 2. Fix and force version.", id="stuck before"),
    ],
)
def test_where_a_migration_may_be_in_place_its_mark_stays(
    program: Program, tmp_path: Path, words: str
) -> None:
    with pytest.raises(MigrationError) as raised:
        migrate(program(a_failure(words.replace("$", "\\$"))), POSTGRES)

    assert commands_of(tmp_path) == ["canary up"]
    assert "run again" not in str(raised.value)


@pytest.mark.parametrize(
    ("version", "force"),
    [("2", "exit 0"), ("error: no migration", "exit 0"), ("2 (dirty)", "echo no; exit 1")],
)
def test_nothing_is_promised_when_the_mark_is_not_known_to_be_gone(
    program: Program, version: str, force: str
) -> None:
    with pytest.raises(MigrationError, match=r"(?s)golang-migrate failed: .*lock timeout\)\Z"):
        migrate(program(a_failure(LOCK_TIMEOUT, version=version, force=force)), POSTGRES)


@pytest.mark.parametrize("path", sorted(MIGRATIONS.glob("*.up.sql")), ids=lambda path: path.name)
def test_each_migration_is_one_transaction(path: Path) -> None:
    # Otherwise a part may stay when a later statement is refused.
    statements = NO_STATEMENTS.sub("", path.read_text(encoding="utf-8")).split(";")

    assert [each for each in statements if SPLITS_THE_FILE.search(each.strip())] == []


@pytest.mark.parametrize(
    "statement",
    ["COMMIT", "\nbegin", "CREATE INDEX CONCURRENTLY i ON t (c)", "VACUUM t", "START TRANSACTION"],
)
def test_what_would_split_a_migration_is_seen(statement: str) -> None:
    assert SPLITS_THE_FILE.search(statement.strip()) is not None


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

    with pytest.raises(MigrationError, match=r"took longer than.*says which one"):
        migrate(program("exec sleep 60"), POSTGRES)
