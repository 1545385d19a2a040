"""What a producer needs of a system: submit one task, durable and confirmed.

Before: ``producing`` opens the submitter of the system under test.
After: 64 clients submit through it, one task after the other.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib import import_module
from typing import cast

from tests.bench.engine.contract import PRODUCER_THREADS

Submit = Callable[[], Awaitable[int]]
"""Returns the id of the task's row."""
OpenSubmitter = Callable[[], AbstractAsyncContextManager[Submit]]


def find_submitter(system: str) -> OpenSubmitter:
    """Return what opens the submitter of a system; only its own libraries are imported."""
    module = import_module(f"tests.bench.engine.peers.{system}_app")
    return cast("OpenSubmitter", module.opened_submitter)


@asynccontextmanager
async def in_threads(submit: Callable[[], int]) -> AsyncIterator[Submit]:
    """Make a blocking submit function one that can be awaited."""
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(PRODUCER_THREADS) as threads:

        async def call() -> int:
            return await loop.run_in_executor(threads, submit)

        yield call
