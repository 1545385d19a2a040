"""Connections to Redis with a short deadline and a breaker: Redis is soft, nobody waits for it.

A request that finds Redis silent pays one deadline at most. From then on the
breaker is open: every call fails at once, and a probe of the connection's own
asks each second until Redis takes a write again. So a paused Redis costs one
probe a second and no request anything, and all heals without traffic.

Before: a composition root opens one ``RedisConnection`` per process.
After: the stores of this package run their commands through ``RedisConnection.run``.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Self, TypeVar

import structlog
from opentelemetry.trace import SpanKind
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from orchestrator_core.errors import StoreUnavailableError
from orchestrator_core.settings import RedisSettings
from orchestrator_core.spans import child_span

_ABSENCES = (RedisError, OSError, TimeoutError)
_PROBE_KEY = "orchestrator:probe"
_PROBE_PAUSE_SECONDS = 1.0
"""A restarted Redis is used again within a second; a dead one is asked once a second."""
_MAX_CONNECTIONS = 32
"""Buckets need one at a time and cached reads a few; more would only queue inside Redis."""

_log = structlog.get_logger(__name__)
AnswerT = TypeVar("AnswerT")


class RedisConnection:
    """A pool of connections. Opening it connects to nothing: a process starts without Redis."""

    def __init__(self, client: Redis, *, timeout_seconds: float) -> None:
        self._client = client
        self._timeout_seconds = timeout_seconds
        self._room = asyncio.Semaphore(_MAX_CONNECTIONS)
        self._probing: asyncio.Task[None] | None = None

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: RedisSettings) -> AsyncIterator[Self]:
        """Open the pool; close it and end the probe in the end."""
        password = settings.password.get_secret_value() if settings.password else None
        client = Redis(
            host=settings.host,
            port=settings.port,
            db=settings.database,
            username=settings.user,
            password=password,
            **_protection(settings),
            max_connections=_MAX_CONNECTIONS,
            # One deadline in ``_ask`` covers name resolution, handshake, room and answer; the
            # driver's own would add a timer to each read.
            socket_timeout=None,
            socket_connect_timeout=None,
            # The default retries for seconds; here a late answer is as good as none.
            retry=Retry(NoBackoff(), 0),
            # Nothing here needs version 3, which costs a handshake; nor does anybody need our name.
            protocol=2,
            driver_info=None,
        )
        connection = cls(client, timeout_seconds=settings.timeout_seconds)
        try:
            yield connection
        finally:
            await connection._end_probe()
            await client.aclose()

    @property
    def is_answering(self) -> bool:
        """Whether the breaker is closed: as far as anybody knows, Redis answers."""
        return self._probing is None

    async def run(self, attempted: str, command: Callable[[Redis], Awaitable[AnswerT]]) -> AnswerT:
        """Run ``command`` on a connection and return its answer.

        Args:
            attempted: what the caller does, for the message.
            command: gets the client; it may run several commands, all within one deadline.

        Raises:
            StoreUnavailableError: no answer within the deadline, a refusal, or, at once, the
                breaker is open because somebody found that out less than a second ago.
        """
        if self._probing is not None:
            raise StoreUnavailableError("redis", f"{attempted}: not tried, it is known to be away")
        try:
            with child_span("redis", kind=SpanKind.CLIENT) as span:
                if span.is_recording():
                    span.set_attributes(
                        {"db.system.name": "redis", "orchestrator.attempted": attempted}
                    )
                return await self._ask(command)
        except _ABSENCES as error:
            self._start_probe(attempted, error)
            raise StoreUnavailableError("redis", f"{attempted}: {_told(error)}") from error

    async def ping(self) -> None:
        """Ask for one round trip.

        Raises:
            StoreUnavailableError: it did not come back in time, or the breaker is open.
        """
        await self.run("ping", lambda client: client.ping())

    async def _ask(self, command: Callable[[Redis], Awaitable[AnswerT]]) -> AnswerT:
        try:
            async with asyncio.timeout(self._timeout_seconds), self._room:
                return await command(self._client)
        except RuntimeError as error:
            # uvloop's word for writing to a connection that was reset a moment ago.
            if "handler is closed" not in str(error):
                raise
            raise ConnectionResetError(str(error)) from error

    def _start_probe(self, attempted: str, error: Exception) -> None:
        if self._probing is None:
            _log.warning("redis is away", attempted=attempted, reason=_told(error))
            self._probing = asyncio.create_task(self._probe(), name="redis-probe")

    async def _probe(self) -> None:
        """Return once Redis takes a write: one that only answers may be read-only or full."""
        try:
            while True:
                try:
                    await self._ask(lambda client: client.set(_PROBE_KEY, b"", px=1_000))
                except _ABSENCES:
                    await asyncio.sleep(_PROBE_PAUSE_SECONDS)
                else:
                    _log.info("redis is back")
                    return
        finally:
            self._probing = None

    async def _end_probe(self) -> None:
        if self._probing is not None:
            self._probing.cancel()
            await asyncio.gather(self._probing, return_exceptions=True)


def _told(error: Exception) -> str:
    # The library's own repr is a category without the reason; a timeout has nothing but its name.
    return str(error) or repr(error)


def _protection(settings: RedisSettings) -> dict[str, Any]:
    if not settings.is_tls:
        return {}
    return {"ssl": True, "ssl_ca_certs": settings.ca_file, "ssl_check_hostname": True}
