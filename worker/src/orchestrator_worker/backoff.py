"""Waits between attempts to reach a store that is away.

Before: ``consuming``, ``claiming``, ``storing``, ``settling`` or ``publishing`` found one away.
After: they try again.
"""

import asyncio
from random import Random

SHORTEST_SECONDS = 0.2
LONGEST_SECONDS = 5.0


class Backoff:
    """Grows from 0.2 s to 5 s, with jitter so that workers don't come back in step."""

    def __init__(self, chance: Random, *, longest_seconds: float = LONGEST_SECONDS) -> None:
        self._chance = chance
        self._longest_seconds = longest_seconds
        self._ceiling_seconds = SHORTEST_SECONDS

    def next_seconds(self) -> float:
        """Return the next wait: between half of the current ceiling and all of it."""
        wait = self._ceiling_seconds * self._chance.uniform(0.5, 1.0)
        self._ceiling_seconds = min(self._longest_seconds, self._ceiling_seconds * 2)
        return wait

    async def wait(self) -> None:
        """Wait that long."""
        await asyncio.sleep(self.next_seconds())

    def reset(self) -> None:
        """Start over: the store answered."""
        self._ceiling_seconds = SHORTEST_SECONDS
