"""Run the background services of a process, and end them in order.

Before: ``app`` has built them.
After: requests are over; what waits is flushed, then everything is cancelled.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import structlog

from orchestrator_core.ending import end

_log = structlog.get_logger(__name__)


class Service(Protocol):
    """Runs until cancelled."""

    async def run(self) -> None:
        """Run until cancelled."""


class Drainable(Protocol):
    """Holds work that must not be lost on the way out."""

    async def drain(self) -> None:
        """Wait until it holds none."""


@dataclass(frozen=True, slots=True)
class Started:
    """Services under way."""

    tasks: Sequence["asyncio.Task[Any]"]

    def is_alive(self) -> bool:
        """Whether all of them still run."""
        return not any(task.done() for task in self.tasks)


@asynccontextmanager
async def running(
    services: Sequence[Service], *, drain: Sequence[Drainable], drain_seconds: float
) -> AsyncIterator[Started]:
    """Run ``services``; in the end drain what must not be lost, in order, then cancel.

    Args:
        services: the end of one before the context's is a fault, and ends all.
        drain: waited for in this order.
        drain_seconds: for all of it; what is left then is left to the sweep of another replica.
    """
    async with asyncio.TaskGroup() as group:
        started = Started(
            [group.create_task(each.run(), name=type(each).__name__) for each in services]
        )
        yield started
        try:
            async with asyncio.timeout(drain_seconds):
                for each in drain:
                    await each.drain()
        except TimeoutError:
            _log.warning("stopped with work left to the sweep", drain_seconds=drain_seconds)
        await end(started.tasks)
