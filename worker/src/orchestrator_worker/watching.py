"""End a process that no longer does its work, so that another takes its place.

A handler that blocks the event loop, a consumer that waits for nothing, a thread
that died: the kernel and the broker still see a healthy process. So a thread
looks each second whether the parts move. If one does not for too long, it writes
where every thread stands and exits; leases run out and other workers go on. What
holds the interpreter itself is left to the kubelet's probe.

Time counts by the thread's own looks: a process that was frozen as a whole wakes
up late, but nothing in it stood still meanwhile.

Before: ``app`` runs it beside the other parts.
After: exit code 70 and one log line, or nothing.
"""

import asyncio
import contextvars
import faulthandler
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

LOOK_SECONDS = 1.0
EXIT_STALLED = 70
"""EX_SOFTWARE of sysexits.h: the process itself is at fault."""

CONSUMER_GRACE_SECONDS = 20.0
"""After its own minute of silence: what woke up after a freeze needs this long for a sign."""

LOG_SECONDS = 2.0
"""A collector that reads no more must not keep a stalled process alive."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What the thread sees at once."""

    seconds: float
    """Since the look before."""
    has_ticked: bool
    """Whether the worker's loop has turned since the look before."""
    is_consumer_silent: bool
    is_keeper_dead: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Silences:
    """How long the parts have stood still, by looks."""

    loop_seconds: float = 0.0
    consumer_seconds: float = 0.0
    is_keeper_dead: bool = False

    def after(self, look: Look) -> "Silences":
        """Return the silences with one more look."""
        # A look that comes late says that this thread stood still too.
        seconds = min(look.seconds, LOOK_SECONDS)
        return Silences(
            loop_seconds=0.0 if look.has_ticked else self.loop_seconds + seconds,
            consumer_seconds=self.consumer_seconds + seconds if look.is_consumer_silent else 0.0,
            is_keeper_dead=look.is_keeper_dead,
        )


def reason_to_end(silences: Silences, *, stall_seconds: float) -> str | None:
    """Return why the process must end, or None."""
    if silences.is_keeper_dead:
        return "the thread that extends leases ended"
    if silences.loop_seconds >= stall_seconds:
        return f"the event loop did not turn for {silences.loop_seconds:.0f} s"
    if silences.consumer_seconds >= CONSUMER_GRACE_SECONDS:
        return "the consumer shows no sign of life"
    return None


def end_process(reason: str) -> None:
    """Say why and where every thread stands, then exit at once."""
    # Whoever holds the output may be the one that stands still.
    telling = threading.Thread(target=contextvars.copy_context().run, args=(_tell, reason))
    telling.daemon = True
    telling.start()
    telling.join(LOG_SECONDS)
    os._exit(EXIT_STALLED)


class Watchdog:
    """Looks after the parts until cancelled."""

    def __init__(
        self,
        *,
        stall_seconds: float,
        is_consumer_silent: Callable[[], bool],
        is_keeper_dead: Callable[[], bool],
        end: Callable[[str], None] = end_process,
    ) -> None:
        """Make a watchdog that has not begun.

        Args:
            stall_seconds: how long the event loop may stand still.
            is_consumer_silent: asked from another thread; false too when it need not consume.
            is_keeper_dead: asked from another thread.
            end: what to do when a part stands still.
        """
        self._stall_seconds = stall_seconds
        self._is_consumer_silent = is_consumer_silent
        self._is_keeper_dead = is_keeper_dead
        self._end = end
        self._ticks = 0
        self._stopped = threading.Event()

    async def run(self) -> None:
        """Watch until cancelled."""
        watch = contextvars.copy_context().run
        threading.Thread(target=watch, args=(self._watch,), name="watchdog", daemon=True).start()
        try:
            while True:
                self._ticks += 1
                await asyncio.sleep(LOOK_SECONDS / 2)
        finally:
            self._stopped.set()

    def _watch(self) -> None:
        silences, ticks, looked_at = Silences(), self._ticks, time.monotonic()
        while not self._stopped.wait(LOOK_SECONDS):
            now, turned = time.monotonic(), self._ticks
            silences = silences.after(
                Look(
                    seconds=now - looked_at,
                    has_ticked=turned != ticks,
                    is_consumer_silent=self._is_consumer_silent(),
                    is_keeper_dead=self._is_keeper_dead(),
                )
            )
            looked_at, ticks = now, turned
            if reason := reason_to_end(silences, stall_seconds=self._stall_seconds):
                self._end(reason)
                return


def _tell(reason: str) -> None:
    _log.critical("stalled", reason=reason, stacks=stacks_of_all_threads())


def stacks_of_all_threads() -> str:
    """Return where every thread stands, the newest call first."""
    # Not a file on disk: a container has no place that is surely writable.
    with os.fdopen(os.memfd_create("stacks"), "w+b") as file:
        faulthandler.dump_traceback(file, all_threads=True)
        file.seek(0)
        return file.read().decode("utf-8", "replace")
