"""Slots: how many attempts this process runs at once.

Before: ``consuming`` takes a slot, then a delivery for it.
After: ``journeys`` gives the slot back when the attempt is settled.
"""

import asyncio


class Slots:
    """A counted pool of permits; ``total`` of them."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.free = total
        self._semaphore = asyncio.Semaphore(total)

    @property
    def busy(self) -> int:
        """How many are taken."""
        return self.total - self.free

    async def take(self) -> None:
        """Wait for a free slot and take it."""
        await self._semaphore.acquire()
        self.free -= 1

    def give_back(self) -> None:
        """Free a slot."""
        self.free += 1
        self._semaphore.release()
