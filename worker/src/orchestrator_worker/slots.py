"""Slots: how many attempts this process runs at once.

Before: ``consuming`` takes as many slots as it has messages.
After: ``journeys`` gives a slot back when its attempt is settled.
"""

import asyncio


class Slots:
    """A counted pool of permits; ``total`` of them."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.free = total
        self._changed = asyncio.Event()

    @property
    def busy(self) -> int:
        """How many are taken."""
        return self.total - self.free

    def take(self, count: int) -> None:
        """Take ``count`` of the free slots.

        Raises:
            ValueError: there are not so many.
        """
        if count > self.free:
            raise ValueError(f"expected at most {self.free} slots to be taken, found {count}")
        self.free -= count

    def give_back(self, count: int = 1) -> None:
        """Free slots."""
        self.free += count
        self._changed.set()

    async def wait_free(self) -> None:
        """Wait until at least one is free."""
        while not self.free:
            self._changed.clear()
            await self._changed.wait()
