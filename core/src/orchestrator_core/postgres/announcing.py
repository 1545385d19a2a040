"""Announce that tasks have new events, without anybody waiting for it.

A ``NOTIFY`` in the transaction that moves tasks would make all such transactions commit
one after the other: Postgres holds one lock from the notification until the commit is on
disk. So it goes out after the commit, alone, which waits for no disk. What is lost on
the way costs a second: who watches also looks by himself.

Before: tasks were claimed, settled or cancelled, and that is committed.
After: ``listening`` in every API process hears it; ``events.feed`` reads what is new.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import ParamSpec, Protocol, TypeVar

import structlog

from orchestrator_core.errors import StoreUnavailableError

PAUSE_SECONDS = 0.05
"""At most 20 a second of a process, however much it moves; nobody notices the wait."""

P = ParamSpec("P")
MovedT = TypeVar("MovedT", bound=Sequence[object])

_log = structlog.get_logger(__name__)


class Announcing(Protocol):
    """What is needed of an event store."""

    async def announce(self) -> None:
        """Wake all who listen, or raise ``StoreUnavailableError``."""


class Announcer:
    """Says that there is something new, at most every ``PAUSE_SECONDS``."""

    def __init__(self, store: Announcing) -> None:
        self._store = store
        self._offered = asyncio.Event()

    def offer(self) -> None:
        """Announce soon. Call it when the events are committed."""
        self._offered.set()

    def after(self, move: Callable[P, Awaitable[MovedT]]) -> Callable[P, Awaitable[MovedT]]:
        """Return ``move``, followed by an announcement if it moved anything."""

        async def move_and_offer(*args: P.args, **kwargs: P.kwargs) -> MovedT:
            moved = await move(*args, **kwargs)
            if any(moved):
                self.offer()
            return moved

        return move_and_offer

    async def run(self) -> None:
        """Announce until cancelled."""
        while True:
            await self._offered.wait()
            self._offered.clear()
            try:
                await self._store.announce()
            except StoreUnavailableError as error:
                _log.debug("announcement lost", reason=str(error))
            except Exception:  # noqa: BLE001 - the edge of a service of its own
                # One fault must not silence this process for ever.
                _log.exception("announcement failed")
            await asyncio.sleep(PAUSE_SECONDS)
