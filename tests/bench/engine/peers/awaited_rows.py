"""A peer's rows for libraries that await: an asyncpg pool, as its documentation shows.

Before: Taskiq's task, the textbook consumer, and their producers.
After: each call is committed.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

import asyncpg

from tests.bench.engine.contract import PAYLOAD, RESULT
from tests.bench.engine.peers.rows import COMPLETE, INSERT, START

_MAX_CONNECTIONS = 10
"""Per process; more are slower on few cores."""


class Rows:
    """The task table."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self._pool = pool

    @classmethod
    @asynccontextmanager
    async def open(cls) -> AsyncIterator[Self]:
        """Open the pool and close it in the end."""
        async with asyncpg.create_pool(
            os.environ["DATABASE_URL"], min_size=_MAX_CONNECTIONS, max_size=_MAX_CONNECTIONS
        ) as pool:
            yield cls(pool)

    async def insert(self) -> int:
        """Keep a task; return its id."""
        return int(await self._pool.fetchval(INSERT.format("$1::jsonb"), PAYLOAD))

    async def perform(self, task_id: int) -> None:
        """Run a task: it does nothing."""
        await self._pool.execute(START.format("$1"), task_id)
        await self._pool.execute(COMPLETE.format("$1", "$2"), RESULT, task_id)
