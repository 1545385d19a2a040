"""End tasks of asyncio for sure.

Before: whoever started them needs them no longer.
After: each is done; none runs on beside what is closed next.
"""

import asyncio
from collections.abc import Collection
from typing import Any

AGAIN_SECONDS = 3.0
"""Longer than what a task closes on its way out may take."""


async def end(
    tasks: Collection["asyncio.Task[Any]"], *, again_seconds: float = AGAIN_SECONDS
) -> None:
    """Cancel ``tasks`` and wait until each is done; drop what they raise.

    One cancellation is not enough: ``asyncio.wait_for`` of Python 3.11, which the libraries for
    the stores are built on, forgets one that comes in the same turn of the loop as its answer
    (cpython issue 86296), and a loop around it would go on for ever.

    Args:
        tasks: of the running loop.
        again_seconds: until one that still runs is cancelled again.
    """
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        done, left = await asyncio.wait(left, timeout=again_seconds)
        for task in done:
            if not task.cancelled():
                # Looked at, or asyncio would say that nobody did.
                task.exception()
