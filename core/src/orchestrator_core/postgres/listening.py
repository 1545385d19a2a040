"""One connection on which a process hears what others announce.

``LISTEN`` belongs to a connection, and a connection costs Postgres a process. So there
is one per API process, whatever is listened for and however many clients wait. What is
announced while it is down is lost; whoever relies on it reads Postgres as well.

Before: somebody runs ``NOTIFY``: ``announcing``, or a statement that revokes a login.
After: the callback of that channel runs on the event loop.
"""

import asyncio
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

import asyncpg
import structlog

from orchestrator_core.postgres.database import ABSENCES, to_connect_arguments
from orchestrator_core.settings import PostgresSettings

PING_SECONDS = 5.0
"""A server that vanished without a word is noticed this soon, and a statement's deadline later."""
SHORTEST_WAIT_SECONDS = 0.1
LONGEST_WAIT_SECONDS = 2.0
"""A return of Postgres is noticed this soon; more often would only be in its way."""
_CLOSE_SECONDS = 1.0

Callback = Callable[[str], None]
"""Takes an announcement's payload. Runs on the event loop: it must be quick and not raise."""

_log = structlog.get_logger(__name__)


class Listener:
    """Listens on several channels, and comes back whenever its connection is lost."""

    def __init__(  # noqa: PLR0913 - where, for whom, and what tests replace
        self,
        settings: PostgresSettings,
        callbacks: Mapping[str, Callback],
        *,
        application: str,
        chance: Random,
        on_connect: Callable[[], None],
        ping_seconds: float = PING_SECONDS,
    ) -> None:
        """Take what to listen for.

        Args:
            settings: where Postgres is.
            callbacks: by channel.
            application: shown in ``pg_stat_activity``.
            chance: spreads the reconnects of processes that lost their server together.
            on_connect: called whenever listening has begun, also the first time: what was
                announced before then has not been heard.
            ping_seconds: between two looks at the connection.
        """
        self._arguments = to_connect_arguments(settings, application=application)
        self._callbacks = dict(callbacks)
        self._chance = chance
        self._on_connect = on_connect
        self._ping_seconds = ping_seconds
        self._wait_seconds = SHORTEST_WAIT_SECONDS
        self._is_absent = False

    async def run(self) -> None:
        """Listen until cancelled."""
        while True:
            try:
                await self._listen()
            except ABSENCES as error:
                self._note_absence(error)
            except Exception:  # noqa: BLE001 - the edge of a service of its own
                # One fault must not make this process deaf for ever.
                _log.exception("not listening to announcements")
            await asyncio.sleep(self._wait_seconds * self._chance.uniform(0.5, 1.0))
            self._wait_seconds = min(LONGEST_WAIT_SECONDS, self._wait_seconds * 2)

    async def _listen(self) -> None:
        """Connect and listen until the connection is lost."""
        connection = await asyncpg.connect(**self._arguments)
        try:
            is_lost = asyncio.Event()
            connection.add_termination_listener(lambda _: is_lost.set())
            for channel in self._callbacks:
                await connection.add_listener(channel, self._hear)
            self._note_return()
            self._on_connect()
            while not await _is_set_within(is_lost, self._ping_seconds):
                # Not an empty statement: asyncpg stumbles over its answer.
                await connection.execute("SELECT 1")
        finally:
            await _close(connection)

    def _hear(self, _connection: object, _pid: int, channel: str, payload: str) -> None:
        self._callbacks[channel](payload)

    def _note_absence(self, error: BaseException) -> None:
        # Once per outage; every second would only repeat it.
        if not self._is_absent:
            _log.warning("not listening to announcements", reason=repr(error))
            self._is_absent = True

    def _note_return(self) -> None:
        self._wait_seconds = SHORTEST_WAIT_SECONDS
        if self._is_absent:
            _log.info("listening to announcements again")
            self._is_absent = False


async def _is_set_within(event: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            return await event.wait()
    except TimeoutError:
        return False


async def _close(connection: Any) -> None:  # noqa: ANN401 - asyncpg ships no types
    try:
        await connection.close(timeout=_CLOSE_SECONDS)
    except ABSENCES:
        connection.terminate()
