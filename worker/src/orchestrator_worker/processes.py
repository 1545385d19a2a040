"""Run plain handlers in child processes that may compute, hang or crash alone.

Each slot has a lane: a ``pebble`` pool of one process. One pool of many would
be simpler, but its processes share one pipe and that pipe's lock: a child that
dies while it holds the lock stalls its neighbours for a minute, and an idle
child's death breaks the pool for all of them. With one process each, whatever
happens in a lane stays in it.

Children are forked by a server process that was started before this one had
threads and that has the built-in handlers' libraries loaded, so a killed child
is replaced within a few tens of milliseconds. A child that must end gets SIGTERM
first and half a second for the handler's ``finally`` blocks.

Before: ``executing`` has a claim of a plain handler.
After: ``children`` runs the attempt in a lane; its ``Ending`` comes back, its reports on the way.
"""

import asyncio
import contextlib
import multiprocessing
import os
import pickle
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import asynccontextmanager
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from random import Random
from typing import Self, TypeVar

import structlog
from pebble import CONSTS, ProcessExpired, ProcessFuture, ProcessPool

from orchestrator_core.attempts import Ending
from orchestrator_worker import children
from orchestrator_worker.children import ChildRequest
from orchestrator_worker.progress import Progress, ReportPair
from orchestrator_worker.verdicts import child_lost, ending_of_error, timed_out

PRELOADED = ["orchestrator_worker.children", "orchestrator_worker.builtin.pictures"]
"""Imported once by the fork server. Users' packages are not: they may start threads at import,
and a process with threads must not fork. Each child imports them by itself before its first task.
"""

LOST_REQUEST_SECONDS = 15.0
"""pebble measures the limit from the moment a child takes the request. A child that dies just
then loses it; this much later the lane is given up."""

_KILL_SECONDS = 0.5
"""Between SIGTERM and SIGKILL: long enough to remove a file, short enough for a worker that
drains. The lane waits for it."""

_WARM_SECONDS = 60.0
"""Users' packages may import half the world; later than this something else is wrong."""

ResultT = TypeVar("ResultT")
_log = structlog.get_logger(__name__)


class Lane:
    """One child process, replaced whenever it dies."""

    def __init__(self, context: ForkServerContext, lifeline: Connection, log_level: str) -> None:
        self._context = context
        self._lifeline = lifeline
        self._log_level = log_level
        self._reports = ReportPair()
        self._number = 0
        self._pool = self._open_pool()
        self._is_started = False
        self._starting = threading.Lock()

    @property
    def is_ready(self) -> bool:
        """Whether a call can be sent at once."""
        return self._is_started and self._pool.active

    def start(self) -> None:
        """Have a child, blocking until it is forked. Harmless if there is one."""
        with self._starting:
            if self._is_started and not self._pool.active:
                # The child died, in a task or between two (the kernel was short of memory, say).
                self._close_pool()
                self._pool = self._open_pool()
            # Asking whether a new pool is active starts it.
            self._is_started = self._pool.active

    def schedule(
        self, function: Callable[..., ResultT], *args: object, timeout_seconds: float
    ) -> ProcessFuture[ResultT]:
        """Send a call to the child, without blocking. Cancelling the future kills the child."""
        return self._pool.schedule(function, args=args, timeout=timeout_seconds)

    @contextlib.contextmanager
    def reported(self, progress: Progress) -> Iterator[int]:
        """Number an attempt and, while the context is open, hand its reports to ``progress``."""
        self._number += 1
        with self._reports.received(progress, number=self._number):
            yield self._number

    def give_up_pool(self) -> None:
        """Have the next start open a new pool, without blocking.

        A child that was killed while it answered leaves its pool's locks taken and half a message
        in its pipe, and the pool would go on with both.
        """
        self._pool.stop()  # type: ignore[no-untyped-call]  # pebble types most, not this

    def end_child(self) -> None:
        """End the child, whatever it does, blocking for half a second at most."""
        with self._starting:
            self._close_pool()

    async def close(self) -> None:
        """End the child and the way for its reports."""
        await asyncio.to_thread(self.end_child)
        self._reports.close()

    def _close_pool(self) -> None:
        self._pool.stop()  # type: ignore[no-untyped-call]  # pebble types most, not this
        self._pool.join()

    def _open_pool(self) -> ProcessPool:
        return ProcessPool(
            max_workers=1,
            initializer=children.prepare,
            initargs=(self._lifeline, self._reports.childs, self._log_level),
            context=self._context,
        )


class Lanes:
    """As many lanes as slots. ``open`` makes them; ``warm`` starts their children."""

    def __init__(self, count: int, *, chance: Random, log_level: str = "INFO") -> None:
        self._chance = chance
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(PRELOADED)
        # Only this process holds the other end, so it closes whenever this process ends.
        self._lifeline, self._own_end = context.Pipe(duplex=False)
        self._all = [Lane(context, self._lifeline, log_level) for _ in range(count)]
        self._free: asyncio.Queue[Lane] = asyncio.Queue()
        for lane in self._all:
            self._free.put_nowait(lane)

    @classmethod
    @asynccontextmanager
    async def open(
        cls, count: int, *, chance: Random, log_level: str = "INFO"
    ) -> AsyncIterator[Self]:
        """Open ``count`` lanes without starting a process; end all children in the end."""
        CONSTS.term_timeout = _KILL_SECONDS
        lanes = cls(count, chance=chance, log_level=log_level)
        try:
            yield lanes
        finally:
            await lanes.close()

    async def close(self) -> None:
        """End every child."""
        await asyncio.gather(*(lane.close() for lane in self._all))
        self._own_end.close()
        self._lifeline.close()

    async def warm(self) -> None:
        """Start as many children as can compute at once, so that the first tasks need not wait.

        The others start with their first task: a worker with a hundred slots for tasks that wait
        would begin with a hundred processes that compete with what it is there for.
        """
        count = min(len(self._all), len(os.sched_getaffinity(0)))
        await asyncio.gather(*(self._warm_one() for _ in range(count)))

    async def run(
        self, request: ChildRequest, *, timeout_seconds: float, progress: Progress
    ) -> Ending:
        """Run one attempt in a child and say how it ended.

        Args:
            request: the attempt.
            timeout_seconds: wall time from the child's start on it; then it is ended.
            progress: takes what the handler reports.

        Raises:
            asyncio.CancelledError: the attempt is not wanted any more; its child is ended.
        """
        async with self._lane() as lane:
            with lane.reported(progress) as number:
                try:
                    answer = await _call(
                        lane,
                        children.run_attempt,
                        request,
                        number,
                        timeout_seconds=timeout_seconds,
                    )
                except Exception as error:  # noqa: BLE001 - any end of a child is an ending
                    return self._ending_of(error, request, timeout_seconds)
        ending: Ending = pickle.loads(answer)  # noqa: S301 - our own child's bytes
        return ending

    def _ending_of(self, error: Exception, request: ChildRequest, timeout_seconds: float) -> Ending:
        attempt = request.context.attempt
        match error:
            case TimeoutError():
                return timed_out(timeout_seconds, attempt=attempt, chance=self._chance)
            case ProcessExpired(exitcode=exit_code):
                return child_lost(exit_code, attempt=attempt, chance=self._chance)
            case BrokenProcessPool():
                return child_lost(None, attempt=attempt, chance=self._chance)
            case _:
                _log.error("child_machinery_failed", exc_info=error)
                return ending_of_error(error, attempt=attempt, chance=self._chance)

    async def _warm_one(self) -> None:
        async with self._lane() as lane:
            try:
                await _call(lane, children.warm, timeout_seconds=_WARM_SECONDS)
            except (OSError, RuntimeError) as error:
                _log.warning("child_not_warm", error=repr(error))

    @asynccontextmanager
    async def _lane(self) -> AsyncIterator[Lane]:
        lane = await self._free.get()
        try:
            yield lane
        finally:
            self._free.put_nowait(lane)


async def _call(
    lane: Lane, function: Callable[..., ResultT], *args: object, timeout_seconds: float
) -> ResultT:
    try:
        return await _try_call(lane, function, *args, timeout_seconds=timeout_seconds)
    except BrokenProcessPool:
        # The child died before it took the call, so nothing has run yet.
        return await _try_call(lane, function, *args, timeout_seconds=timeout_seconds)


async def _try_call(
    lane: Lane, function: Callable[..., ResultT], *args: object, timeout_seconds: float
) -> ResultT:
    if not lane.is_ready:
        await asyncio.to_thread(lane.start)
    scheduled = lane.schedule(function, *args, timeout_seconds=timeout_seconds)
    try:
        async with asyncio.timeout(timeout_seconds + LOST_REQUEST_SECONDS) as patience:
            return await asyncio.wrap_future(scheduled)
    except TimeoutError:
        if patience.expired():
            await asyncio.to_thread(lane.end_child)
        raise
    except ProcessExpired:
        lane.give_up_pool()
        raise
