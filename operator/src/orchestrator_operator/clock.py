"""Time as the scaling loop sees it.

Before: ``scaling`` and the tests hand one in.
After: ``scaling`` waits by it.
"""

import asyncio
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Time, so that tests can move it."""

    def now_seconds(self) -> float:
        """Tell monotonic time."""
        ...

    def utc_now(self) -> datetime:
        """Tell the time that the API server's timestamps are in."""
        ...

    async def wait(self, door: asyncio.Event, timeout_seconds: float) -> None:
        """Wait until the door is rung, but not longer than this."""
        ...


class SystemClock:
    """Real time."""

    def now_seconds(self) -> float:
        """Tell monotonic time."""
        return time.monotonic()

    def utc_now(self) -> datetime:
        """Tell the time of day."""
        return datetime.now(UTC)

    async def wait(self, door: asyncio.Event, timeout_seconds: float) -> None:
        """Wait until the door is rung, but not longer than this."""
        try:
            async with asyncio.timeout(timeout_seconds):
                await door.wait()
        except TimeoutError:
            return
