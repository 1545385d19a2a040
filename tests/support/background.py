"""Run a background service beside a test.

Before: a test has made one.
After: it is over with the context, whatever the test found.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from orchestrator_api.running import Service


@asynccontextmanager
async def background(*services: Service) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(each.run()) for each in services]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
