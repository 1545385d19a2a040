"""Bring the schema up to date with golang-migrate, once Postgres answers.

golang-migrate marks a version before it runs its file, and leaves the mark when the
file fails. Each file is one transaction, so of one that Postgres refused nothing
stays: its mark is taken away, and whoever starts this again needs no hand.

Before: the migration Job starts, often before Postgres does.
After: every migration is in place, or the Job failed with a sentence.
"""

import asyncio
import os
import re
import subprocess
import time
from pathlib import Path
from urllib.parse import quote, urlencode

import structlog
from pydantic import Field

from orchestrator_core.errors import OrchestratorError, StoreUnavailableError
from orchestrator_core.postgres.database import Database
from orchestrator_core.settings import PostgresSettings, Settings, SslMode

MIGRATE_SECONDS = 300.0
"""All migrations together; each statement has a lock timeout of its own."""
LOCK_SECONDS = 30
"""Another Job may be migrating; golang-migrate waits this long for its advisory lock."""
_DIRTY = re.compile(r"[Dd]irty database version (-?\d+)")
_REFUSED = re.compile(
    r"^error: migration failed: .*\(details: pq: (?!terminating connection)[^\n]*\)\Z",
    re.MULTILINE | re.DOTALL,
)
"""Postgres itself refused a statement, and nothing follows: the connection lived on, since the lock
was given back over it. After a lost one nobody knows whether the file is in place.
"""
_MARKED = re.compile(r"^(\d+) \(dirty\)$", re.MULTILINE)
_UP_FILE = re.compile(r"(\d+)_.*\.up\.sql")

_log = structlog.get_logger(__name__)


class MigrateSettings(Settings):
    """Where the migrations and the program are."""

    binary: str = Field(default="migrate", alias="ORCHESTRATOR_API_MIGRATE_BINARY")
    folder: Path = Field(default=Path("/migrations"), alias="ORCHESTRATOR_API_MIGRATIONS_DIR")
    wait_seconds: float = Field(default=60.0, gt=0, alias="ORCHESTRATOR_API_MIGRATE_WAIT_SECONDS")


class MigrationError(OrchestratorError):
    """The schema is not up to date; the message says what to do."""

    code = "migration"


def migrate(settings: MigrateSettings, postgres: PostgresSettings) -> None:
    """Wait for Postgres, then apply every migration that is missing.

    Raises:
        MigrationError: says what is wrong and what to do next.
    """
    if not any(settings.folder.glob("*.up.sql")):
        raise MigrationError(
            f"{settings.folder} holds no *.up.sql files; set ORCHESTRATOR_API_MIGRATIONS_DIR"
        )
    asyncio.run(_await_postgres(postgres, settings.wait_seconds))
    finished = _run(settings, postgres, "up")
    output = finished.stdout.strip()
    if finished.returncode == 0:
        _log.info("schema is up to date", output=output[-2000:])
        return
    explanation = _explain(output)
    undone = _unmark(settings, postgres) if _REFUSED.search(output) is not None else None
    if undone is not None:
        explanation += f"; nothing of migration {undone} stays, and it can simply be run again"
    raise MigrationError(explanation)


async def _await_postgres(postgres: PostgresSettings, wait_seconds: float) -> None:
    deadline = time.monotonic() + wait_seconds
    async with Database.open(postgres, application="orchestrator-migrate", max_connections=1) as db:
        while True:
            try:
                await db.ping()
            except StoreUnavailableError as error:
                if time.monotonic() >= deadline:
                    raise MigrationError(
                        f"Postgres at {postgres.host}:{postgres.port} did not answer within"
                        f" {wait_seconds:.0f} s; last: {error.attempted}"
                    ) from error
                _log.info("waiting for Postgres", host=postgres.host, reason=error.attempted)
                await asyncio.sleep(1.0)
            else:
                return


def _build_command(
    settings: MigrateSettings, postgres: PostgresSettings, *arguments: str
) -> list[str]:
    host = f"[{postgres.host}]" if ":" in postgres.host else postgres.host
    address = f"{quote(postgres.user, safe='')}@{host}:{postgres.port}"
    database = quote(postgres.database, safe="")
    protection = {"sslmode": str(postgres.ssl_mode)}
    if postgres.ssl_mode is SslMode.PREFER:
        # Its driver knows no such mode.
        protection = {"sslmode": str(SslMode.DISABLE)}
    elif postgres.ssl_mode is SslMode.VERIFY_FULL and postgres.ca_file is not None:
        protection["sslrootcert"] = str(postgres.ca_file)
    query = urlencode({**protection, "connect_timeout": 5})
    url = f"postgres://{address}/{database}?{query}"
    return [
        settings.binary,
        "-path",
        str(settings.folder),
        "-database",
        url,
        "-lock-timeout",
        str(LOCK_SECONDS),
        *arguments,
    ]


def _run(
    settings: MigrateSettings, postgres: PostgresSettings, *arguments: str
) -> subprocess.CompletedProcess[str]:
    command = _build_command(settings, postgres, *arguments)
    # The password goes by environment: arguments can be read by every process of the machine.
    environment = {**os.environ, "PGPASSWORD": postgres.password.get_secret_value()}
    try:
        return subprocess.run(  # noqa: S603 - our own arguments, no shell
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=MIGRATE_SECONDS,
            check=False,
        )
    except FileNotFoundError as error:
        raise MigrationError(
            f"the program {command[0]!r} is not here; set ORCHESTRATOR_API_MIGRATE_BINARY"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise MigrationError(
            f"golang-migrate took longer than {MIGRATE_SECONDS:.0f} s and was stopped; its last"
            " statement may still run, see pg_stat_activity. When that has ended, run this again:"
            " if a migration was cut off, it says which one and what to do"
        ) from error


def _unmark(settings: MigrateSettings, postgres: PostgresSettings) -> int | None:
    """Set the version back to before a migration that left nothing; return its number.

    Nobody else migrates meanwhile: golang-migrate starts nothing on a marked version.
    None when it is not marked, or when this fails: then the next start explains it as stuck.
    """
    try:
        marked = _MARKED.search(_run(settings, postgres, "version").stdout)
        if marked is None:
            return None
        version = int(marked.group(1))
        # After "--" golang-migrate takes -1, for no version at all, for no option.
        before = str(_find_number_before(version, settings.folder))
        forced = _run(settings, postgres, "force", "--", before)
    except MigrationError as error:
        _log.warning("version not set back", reason=str(error))
        return None
    if forced.returncode != 0:
        _log.warning("version not set back", reason=forced.stdout.strip()[-2000:])
        return None
    return version


def _find_number_before(version: int, folder: Path) -> int:
    """Return the number of the migration before this one; -1 when it is the first."""
    found = (_UP_FILE.fullmatch(path.name) for path in folder.iterdir())
    numbers = (int(match.group(1)) for match in found if match is not None)
    return max((number for number in numbers if number < version), default=-1)


def _explain(output: str) -> str:
    dirty = _DIRTY.search(output)
    if dirty is not None:
        version = dirty.group(1)
        return (
            f"the schema is stuck in migration {version}, which failed half-way before."
            f" Finish or undo it by hand, then run `migrate ... force {version}` (done)"
            " or force the version before it (undone), and start this again"
        )
    return f"golang-migrate failed: {output[-2000:] or 'it said nothing'}"
