"""Connections over TLS: to the store whose certificate is good for its name, and to no other."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

import services
from loopback import LOOPBACK, make_certificate, served, serving_context
from orchestrator_core.amqp.channels import opened_channel
from orchestrator_core.errors import SettingsError, StoreUnavailableError
from orchestrator_core.postgres.database import Database
from orchestrator_core.redis.connections import RedisConnection
from orchestrator_core.settings import AmqpSettings, PostgresSettings, RedisSettings
from own_stores import MIGRATIONS, await_postgres

Certificate = tuple[Path, Path]
HANDSHAKE_SECONDS = 10.0
"""Under test is whom we believe, not how soon: other tests run beside these."""


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("tls"), f"IP:{LOOPBACK}")


@pytest.fixture(scope="module")
def authority(certificate: Certificate) -> Path:
    """What vouches for the certificate: it does itself."""
    return certificate[0]


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority that has not vouched for it."""
    return make_certificate(tmp_path_factory.mktemp("stranger"), f"IP:{LOOPBACK}")[0]


@pytest.fixture(scope="module")
def misnamed(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """A certificate that is good for another name."""
    return make_certificate(tmp_path_factory.mktemp("misnamed"), "DNS:elsewhere.example")


@pytest.fixture(scope="module")
def postgres_over_tls(certificate: Certificate) -> Iterator[services.Service]:
    with services.postgres(certificate=certificate) as server:
        asyncio.run(await_postgres(server.port))
        yield server


@asynccontextmanager
async def behind_tls(port: int, certificate: Certificate) -> AsyncIterator[int]:
    """Serve over TLS what a server of this port says, as a load balancer does."""

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            writer.write(data)
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        opposite = await asyncio.open_connection(LOOPBACK, port)
        await asyncio.gather(copy(reader, opposite[1]), copy(opposite[0], writer))

    async with served(serve, serving_context(*certificate)) as outer_port:
        yield outer_port


def postgres_settings(
    server: services.Service, mode: str, ca_file: Path | None = None
) -> PostgresSettings:
    return PostgresSettings(
        DB_HOST=LOOPBACK,
        DB_PORT=server.port,
        DB_USER="postgres",
        DB_NAME="postgres",
        DB_SSLMODE=mode,
        DB_SSLROOTCERT=ca_file,
    )


async def ping(connection: RedisConnection) -> bool:
    answer: bool = await connection.run("ping", lambda client: client.ping())
    return answer


async def protection_of(settings: PostgresSettings) -> bool:
    """Ask Postgres whether our connection is encrypted."""
    async with (
        Database.open(settings, application="test", max_connections=1) as database,
        database.answering("ask") as connection,
    ):
        is_encrypted: bool = await connection.fetchval(
            "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
        )
        return is_encrypted


@pytest.mark.parametrize("mode", ["prefer", "require", "verify-full"])
async def test_postgres_is_reached_over_tls(
    postgres_over_tls: services.Service, authority: Path, mode: str
) -> None:
    assert await protection_of(postgres_settings(postgres_over_tls, mode, authority))


async def test_postgres_whose_certificate_nobody_vouches_for_is_refused(
    postgres_over_tls: services.Service, stranger: Path
) -> None:
    for settings in (
        postgres_settings(postgres_over_tls, "verify-full", stranger),
        postgres_settings(postgres_over_tls, "verify-full"),
    ):
        with pytest.raises(StoreUnavailableError, match="certificate verify failed"):
            await protection_of(settings)


async def test_postgres_that_insists_on_tls_refuses_plain_connections(
    postgres_over_tls: services.Service,
) -> None:
    with pytest.raises(StoreUnavailableError, match="no encryption"):
        await protection_of(postgres_settings(postgres_over_tls, "disable"))


async def test_a_name_that_the_certificate_lacks_is_refused(
    redis_service: services.Service, misnamed: Certificate
) -> None:
    async with behind_tls(redis_service.port, misnamed) as port:
        settings = RedisSettings(
            REDIS_HOST=LOOPBACK,
            REDIS_PORT=port,
            REDIS_TLS=True,
            REDIS_CA_FILE=misnamed[0],
            timeout_seconds=HANDSHAKE_SECONDS,
        )
        async with RedisConnection.open(settings) as connection:
            with pytest.raises(StoreUnavailableError, match=r"(?i)certificate"):
                await ping(connection)


def migrate(settings: PostgresSettings) -> subprocess.CompletedProcess[str]:
    """Run what the migration Job runs."""
    variables = {
        "DB_HOST": settings.host,
        "DB_PORT": str(settings.port),
        "DB_USER": settings.user,
        "DB_NAME": settings.database,
        "DB_SSLMODE": str(settings.ssl_mode),
        "DB_SSLROOTCERT": str(settings.ca_file),
        "ORCHESTRATOR_API_MIGRATIONS_DIR": str(MIGRATIONS),
        "ORCHESTRATOR_API_MIGRATE_WAIT_SECONDS": "3",
    }
    return subprocess.run(
        ["env", *(f"{name}={value}" for name, value in variables.items()),
         sys.executable, "-m", "orchestrator_api", "migrate"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_migrations_go_over_tls(
    postgres_over_tls: services.Service, authority: Path, stranger: Path
) -> None:
    refused = migrate(postgres_settings(postgres_over_tls, "verify-full", stranger))
    done = migrate(postgres_settings(postgres_over_tls, "verify-full", authority))

    assert refused.returncode != 0
    assert "certificate verify failed" in refused.stderr + refused.stdout
    assert done.returncode == 0, done.stdout + done.stderr


async def test_redis_is_reached_over_tls(
    redis_service: services.Service, certificate: Certificate, stranger: Path
) -> None:
    async with behind_tls(redis_service.port, certificate) as port:
        for ca_file, is_good in ((certificate[0], True), (stranger, False), (None, False)):
            settings = RedisSettings(
                REDIS_HOST=LOOPBACK,
                REDIS_PORT=port,
                REDIS_TLS=True,
                REDIS_CA_FILE=ca_file,
                timeout_seconds=HANDSHAKE_SECONDS,
            )
            async with RedisConnection.open(settings) as connection:
                if is_good:
                    assert await ping(connection)
                    continue
                with pytest.raises(StoreUnavailableError, match=r"(?i)certificate"):
                    await ping(connection)


async def test_rabbitmq_is_reached_over_tls(
    rabbitmq_service: services.Service, certificate: Certificate, stranger: Path
) -> None:
    async with behind_tls(rabbitmq_service.port, certificate) as port:
        url = f"amqps://guest:guest@{LOOPBACK}:{port}/"
        good = AmqpSettings(RABBITMQ_URL=url, RABBITMQ_CA_FILE=certificate[0])
        async with opened_channel(good, client="test", publisher_confirms=True) as channel:
            queue = await channel.declare_queue(exclusive=True)
        assert queue.name
        for ca_file in (stranger, None):
            bad = AmqpSettings(RABBITMQ_URL=url, RABBITMQ_CA_FILE=ca_file)
            with pytest.raises(StoreUnavailableError, match=r"(?i)certificate"):
                async with opened_channel(bad, client="test", publisher_confirms=True):
                    pass


async def test_a_file_without_authorities_is_named(
    postgres_over_tls: services.Service, tmp_path: Path
) -> None:
    empty = tmp_path / "ca.crt"
    empty.touch()

    with pytest.raises(SettingsError, match=f"{empty} should hold certificates"):
        await protection_of(postgres_settings(postgres_over_tls, "verify-full", empty))
