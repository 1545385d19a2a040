"""A connection to Redis with a short deadline: Redis is soft, nobody waits long for it.

Before: a composition root opens one ``RedisConnection`` per process.
After: the API's ``health`` asks whether Redis answers.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from orchestrator_core.errors import StoreUnavailableError
from orchestrator_core.settings import RedisSettings

_ABSENCES = (RedisError, OSError, TimeoutError)


class RedisConnection:
    """A pool of connections. Opening it connects to nothing: a process starts without Redis."""

    def __init__(self, client: Redis, *, timeout_seconds: float) -> None:
        self._client = client
        self._timeout_seconds = timeout_seconds

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: RedisSettings) -> AsyncIterator[Self]:
        """Open the pool and close it in the end."""
        password = settings.password.get_secret_value() if settings.password else None
        client = Redis(
            host=settings.host,
            port=settings.port,
            password=password,
            socket_timeout=settings.timeout_seconds,
            socket_connect_timeout=settings.timeout_seconds,
            # The default retries for seconds; here a late answer is as good as none.
            retry=Retry(NoBackoff(), 0),
        )
        try:
            yield cls(client, timeout_seconds=settings.timeout_seconds)
        finally:
            await client.aclose()

    async def ping(self) -> None:
        """Ask for one round trip.

        Raises:
            StoreUnavailableError: it did not come back in time.
        """
        try:
            # Name resolution and the handshake count too, so one deadline covers all.
            async with asyncio.timeout(self._timeout_seconds):
                await self._client.ping()
        except _ABSENCES as error:
            raise StoreUnavailableError("redis", f"ping: {error!r}") from error
