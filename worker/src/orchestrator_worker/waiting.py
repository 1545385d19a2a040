"""Wait for whatever comes first.

Before: ``consuming`` and ``draining`` can go on for more than one reason.
After: they look which one it was.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any


async def wait_first(
    *waits: Coroutine[Any, Any, object], timeout_seconds: float | None = None
) -> None:
    """Return when the first of ``waits`` is done, at the latest after ``timeout_seconds``.

    The others are cancelled.
    """
    tasks = {asyncio.ensure_future(wait) for wait in waits}
    try:
        await asyncio.wait(tasks, timeout=timeout_seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
