"""Slots: how many attempts this process runs at once.

Before: ``consuming`` takes as many slots as it has messages.
After: ``journeys`` gives a slot back when its attempt is settled.
"""

import asyncio
from collections.abc import Callable


class Slots:
    """A counted pool of permits; ``total`` of them."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.free = total
        self._changed = asyncio.Event()
        self._listeners: list[Callable[[], None]] = []

    @property
    def busy(self) -> int:
        """How many are taken."""
        return self.total - self.free

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` from now on whenever slots were taken or freed."""
        self._listeners.append(listener)

    def take(self, count: int) -> None:
        """Take ``count`` of the free slots.

        Raises:
            ValueError: there are not so many.
        """
        if count > self.free:
            raise ValueError(f"expected at most {self.free} slots to be taken, found {count}")
        self.free -= count
        self._tell()

    def give_back(self, count: int = 1) -> None:
        """Free slots."""
        self.free += count
        self._changed.set()
        self._tell()

    async def wait_free(self) -> None:
        """Wait until at least one is free."""
        while not self.free:
            self._changed.clear()
            await self._changed.wait()

    def _tell(self) -> None:
        for listener in self._listeners:
            listener()
