"""Connections to Postgres with deadlines, and its errors told apart.

Every statement of the hot path is complete in itself and leaves no session
state, so a connection goes back to the pool without the round trip that
asyncpg spends on resetting it.

Before: a composition root opens one ``Database`` per process.
After: the stores run their statements through ``Database.answering``.
"""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Self

import asyncpg
from opentelemetry.trace import SpanKind

from orchestrator_core.errors import RowRefusedError, StoreUnavailableError
from orchestrator_core.settings import PostgresSettings, SslMode
from orchestrator_core.spans import child_span
from orchestrator_core.tls import verifying_context

_ROW_FAULTS = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError)
ABSENCES = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.LockNotAvailableError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.InternalClientError,
    # A database that lets nobody in for now, as during a restore.
    asyncpg.ObjectNotInPrerequisiteStateError,
    # Not migrated yet: the schema comes with the migration Job, often seconds after the pods.
    asyncpg.InvalidCatalogNameError,
    asyncpg.UndefinedTableError,
    OSError,
    TimeoutError,
)
"""What asyncpg raises when Postgres is not there, not ready or not able; it may be again later."""
ACQUIRE_SECONDS = 1.0
"""Waiting longer for a free connection means that Postgres does not keep up: answer 503 instead."""
RELEASE_SECONDS = 0.25
"""A statement that was given up is cancelled by a call to the server before its connection is used
again. A server that does not answer that either is left: whoever gave up wants to answer now."""


class Database:
    """A pool of connections. Opening it connects to nothing: a process starts without Postgres."""

    def __init__(
        self,
        pool: "asyncpg.Pool[asyncpg.Record]",
        settings: PostgresSettings,
        *,
        acquire_seconds: float,
    ) -> None:
        self._pool = pool
        self.max_connections: int = pool.get_max_size()
        self._acquire_seconds = acquire_seconds
        self._deadline_seconds = settings.statement_timeout_seconds + acquire_seconds

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        settings: PostgresSettings,
        *,
        application: str,
        max_connections: int,
        acquire_seconds: float = ACQUIRE_SECONDS,
    ) -> AsyncIterator[Self]:
        """Open the pool and close it in the end.

        Args:
            settings: where Postgres is, and its deadlines.
            application: shown in ``pg_stat_activity``.
            max_connections: an upper bound; connections are made when needed.
            acquire_seconds: how long a statement may wait for one of them.
        """
        pool = asyncpg.create_pool(
            **to_connect_arguments(settings, application=application),
            min_size=0,
            max_size=max_connections,
            max_inactive_connection_lifetime=60.0,
            reset=_leave_as_it_is,
        )
        await pool
        try:
            yield cls(pool, settings, acquire_seconds=acquire_seconds)
        finally:
            await _close(pool)

    @property
    def open_connections(self) -> int:
        """Return how many connections there are now."""
        return int(self._pool.get_size())

    @property
    def busy_connections(self) -> int:
        """Return how many of them are lent."""
        return self.open_connections - int(self._pool.get_idle_size())

    @asynccontextmanager
    async def answering(self, attempted: str) -> AsyncIterator[Any]:
        """Lend a connection; what goes wrong comes out as one of two errors.

        Args:
            attempted: what the caller does, for the message.

        Raises:
            StoreUnavailableError: no answer in time, or no connection to be had.
            RowRefusedError: Postgres refused the data itself.
        """
        try:
            async with asyncio.timeout(self._deadline_seconds):
                with child_span("postgres", kind=SpanKind.CLIENT) as span:
                    if span.is_recording():
                        span.set_attributes(
                            {"db.system.name": "postgresql", "orchestrator.attempted": attempted}
                        )
                    connection = await self._pool.acquire(timeout=self._acquire_seconds)
                    try:
                        yield connection
                    finally:
                        await self._give_back(connection)
        except _ROW_FAULTS as error:
            raise RowRefusedError(f"{attempted}: {error}") from error
        except ABSENCES as error:
            raise StoreUnavailableError("postgres", f"{attempted}: {error!r}") from error

    async def _give_back(self, connection: Any) -> None:  # noqa: ANN401 - as asyncpg's pool has it
        # One that can't be given back is thrown away by the pool, and says nothing of the
        # statement; raised here, it would also take the place of a cancellation.
        with contextlib.suppress(*ABSENCES):
            await self._pool.release(connection, timeout=RELEASE_SECONDS)

    async def ping(self) -> None:
        """Ask for one round trip.

        Raises:
            StoreUnavailableError: it did not come back.
        """
        async with self.answering("ping") as connection:
            await connection.fetchval("SELECT 1")


def to_connect_arguments(settings: PostgresSettings, *, application: str) -> dict[str, Any]:
    """Return what asyncpg needs to connect, with every deadline."""
    return {
        "host": settings.host,
        "port": settings.port,
        "user": settings.user,
        "password": settings.password.get_secret_value(),
        "database": settings.database,
        "ssl": _protection(settings),
        "timeout": settings.connect_timeout_seconds,
        "command_timeout": settings.statement_timeout_seconds,
        "server_settings": _server_settings(settings, application),
    }


def _protection(settings: PostgresSettings) -> ssl.SSLContext | str:
    """Return what asyncpg calls ``ssl``."""
    if settings.ssl_mode is SslMode.VERIFY_FULL:
        return verifying_context(settings.ca_file, text=settings.authority)
    return str(settings.ssl_mode)


def _server_settings(settings: PostgresSettings, application: str) -> dict[str, str]:
    milliseconds = int(settings.statement_timeout_seconds * 1000)
    return {
        "application_name": application,
        # Plans are cached per statement; compiling them costs more than these statements take.
        "jit": "off",
        # Plans outlive the sizes they were made for: a table that was empty then may hold a
        # backlog now. Every statement here has its index; what has none is still read whole.
        "enable_seqscan": "off",
        "statement_timeout": str(milliseconds),
        "lock_timeout": str(milliseconds // 2),
        "idle_in_transaction_session_timeout": "10000",
        # A server that vanished without a word is noticed within 10 s.
        "tcp_user_timeout": "10000",
    }


async def _leave_as_it_is(_: object) -> None:
    """Reset nothing: no statement here leaves session state behind."""


async def _close(pool: "asyncpg.Pool[asyncpg.Record]") -> None:
    try:
        await asyncio.wait_for(pool.close(), timeout=2.0)
    except TimeoutError:
        pool.terminate()
