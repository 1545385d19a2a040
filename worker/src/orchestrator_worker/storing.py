"""Keep what a handler returned until it can be settled: ``ReturnedResult`` to ``KeptResult``.

Without an object store the bytes travel with the settlement and become a row, in one
transaction with the verdict. With one they are put there first, under a key of this very
attempt that Postgres has been told of: if the attempt is never settled, the object goes.

Before: ``executing`` has what a handler returned, its folder still there.
After: ``settling`` records the outcome.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from uuid import uuid4

import structlog

from orchestrator_core.attempts import (
    Claim,
    KeptResult,
    ResultFile,
    ResultObject,
    ReturnedResult,
)
from orchestrator_core.errors import StoreUnavailableError
from orchestrator_core.files import ObjectStore
from orchestrator_worker.backoff import Backoff

KeepResult = Callable[[Claim, ReturnedResult], Awaitable[KeptResult]]
"""Raises ``StoreUnavailableError`` if the result can't be kept, ``OSError`` if it is not there."""


@dataclass(frozen=True, slots=True)
class ResultStorage:
    """Where a worker's results go, and how large one may be there."""

    keep: KeepResult
    max_result_bytes: int


PUTS_AT_ONCE = 4
"""Each holds a piece of a large file in memory, or a small one whole."""

BUDGET_SECONDS = 120.0
"""How long a result waits for Postgres before it is put. Its work is done: like a settlement, it
is worth more than a new attempt."""

Expect = Callable[[str], Awaitable[None]]
"""``PostgresResultStore.expect``."""

_log = structlog.get_logger(__name__)


async def carry_result(_claim: Claim, result: ReturnedResult) -> KeptResult:
    """Let a result travel with its settlement: ``KeepResult`` without an object store."""
    return result if isinstance(result, ResultFile) else await asyncio.to_thread(result.read)


class ObjectKeeper:
    """Puts results into an object store."""

    def __init__(self, objects: ObjectStore, expect: Expect, *, chance: Random) -> None:
        self._objects = objects
        self._expect = expect
        self._chance = chance
        self._turns = asyncio.Semaphore(PUTS_AT_ONCE)

    async def keep(self, claim: Claim, result: ReturnedResult) -> KeptResult:
        """Put a result under a key of its own: ``KeepResult`` with an object store."""
        # Random as well: a database that was made anew begins with the same numbers.
        key = f"results/{claim.task_id}/{claim.epoch}-{uuid4().hex}"
        content = result.content if isinstance(result, ResultFile) else result.path
        await self._expect_patiently(key)
        async with self._turns:
            size_bytes, sha256 = await asyncio.to_thread(_measure, content)
            await self._objects.put(key, content)
        return ResultObject(
            key=key,
            size_bytes=size_bytes,
            sha256=sha256,
            content_type=result.content_type,
            file_name=result.file_name,
        )

    async def _expect_patiently(self, key: str) -> None:
        backoff = Backoff(self._chance, longest_seconds=1.0)
        clock = asyncio.get_running_loop().time
        deadline = clock() + BUDGET_SECONDS
        while True:
            try:
                return await self._expect(key)
            except StoreUnavailableError as error:
                if clock() >= deadline:
                    raise
                _log.warning("result_postponed", error=str(error))
            await backoff.wait()


def _measure(content: bytes | Path) -> tuple[int, bytes]:
    """Return how many bytes there are, and their digest."""
    if isinstance(content, bytes):
        return len(content), hashlib.sha256(content).digest()
    with content.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").digest()
        return file.tell(), digest
