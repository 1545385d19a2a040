"""Watchers: what one client still has to be told, in bounds.

Events are told one and all, in order. Of progress only the latest counts, so that of each
task no more than one waits.

Before: ``feed`` offers each of them what is new.
After: ``streams`` and ``long_polls`` take it, or learn that the watching is over.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from enum import Enum
from typing import Generic, TypeVar

from orchestrator_core.events import EventPosition, TaskEvent, TaskProgress
from orchestrator_core.tasks import TaskId

MAX_WAITING = 256
"""Events for one watcher, some 100 KB; who is further behind reads the history instead."""

MarkT = TypeVar("MarkT", int, EventPosition)


class Ending(Enum):
    """Why a watching is over before its watcher wanted; in words for him."""

    LEAVING = "this server is stopping"


class Watcher(Generic[MarkT]):
    """Somebody who watches: a bounded queue that takes no event twice."""

    def __init__(
        self,
        mark_of: Callable[[TaskEvent], MarkT],
        *,
        after: MarkT,
        max_waiting: int = MAX_WAITING,
    ) -> None:
        """Watch from now on.

        Args:
            mark_of: what orders the events of this watching.
            after: the mark of the last event that needs no telling.
            max_waiting: more events than that do not wait.
        """
        self._mark_of: Callable[[TaskEvent], MarkT] = mark_of
        self._max_waiting = max_waiting
        self._waiting: deque[TaskEvent] = deque()
        self._progress: dict[TaskId, TaskProgress] = {}
        self._told_progress: dict[TaskId, TaskProgress] = {}
        self._changed = asyncio.Event()
        self._ended = asyncio.Event()
        self.after: MarkT = after
        self.ending: Ending | None = None

    @property
    def is_full(self) -> bool:
        """Whether no other event may wait."""
        return len(self._waiting) >= self._max_waiting

    def offer(self, event: TaskEvent) -> bool:
        """Have ``event`` told, unless it has been or the watching is over.

        Returns:
            False when it is new but has no room.
        """
        mark = self._mark_of(event)
        if self.ending is not None or mark <= self.after:
            return True
        if self.is_full:
            return False
        self.after = mark
        self._forget_progress(event.task_id)
        self._waiting.append(event)
        self._changed.set()
        return True

    def offer_progress(self, running: Iterable[TaskProgress]) -> None:
        """Have the progress told that has not been, of all tasks that run now."""
        now = {each.task_id: each for each in running}
        told = self._told_progress
        self._told_progress = {task_id: told[task_id] for task_id in told.keys() & now.keys()}
        self._progress = {
            task_id: each
            for task_id, each in now.items()
            if self.ending is None and self._told_progress.get(task_id) != each
        }
        if self._progress:
            self._changed.set()

    def end(self, ending: Ending) -> None:
        """Tell nothing more."""
        if self.ending is None:
            self.ending = ending
            self._waiting.clear()
            self._progress.clear()
            self._changed.set()
            self._ended.set()

    async def take(self, *, within_seconds: float) -> TaskEvent | TaskProgress | None:
        """Return the next event, else progress; None: nothing came in time, or nothing will."""
        # What comes in the very moment in which the time is up is taken nevertheless: ``after``
        # names it already, and whoever hears of nothing takes all up to there for told.
        with suppress(TimeoutError):
            async with asyncio.timeout(within_seconds):
                await self._changed.wait()
        news = self._waiting.popleft() if self._waiting else self._take_progress()
        if not self._waiting and not self._progress and self._is_expecting:
            self._changed.clear()
        return news

    def _take_progress(self) -> TaskProgress | None:
        if not self._progress:
            return None
        progress = self._progress.pop(next(iter(self._progress)))
        self._told_progress[progress.task_id] = progress
        return progress

    def _forget_progress(self, task_id: TaskId) -> None:
        # It was that of the attempt before.
        self._progress.pop(task_id, None)
        self._told_progress.pop(task_id, None)

    @property
    def _is_expecting(self) -> bool:
        """Whether it is of use to wait for another event."""
        return self.ending is None

    async def await_end(self) -> None:
        """Return when the watching is over."""
        await self._ended.wait()


class TaskWatcher(Watcher[int]):
    """Watches one task, by the numbers of its events."""

    def __init__(
        self, *, after: int, wants_progress: bool = False, max_waiting: int = MAX_WAITING
    ) -> None:
        super().__init__(lambda event: event.seq, after=after, max_waiting=max_waiting)
        self.wants_progress = wants_progress
        """Otherwise it is about transitions only."""

    def offer_progress(self, running: Iterable[TaskProgress]) -> None:
        """Have progress told, if it is wanted."""
        if self.wants_progress:
            super().offer_progress(running)


class UserWatcher(Watcher[EventPosition]):
    """Watches all tasks of a user, by the positions of their events."""

    def __init__(self, *, after: EventPosition, max_waiting: int = MAX_WAITING) -> None:
        super().__init__(lambda event: event.position, after=after, max_waiting=max_waiting)
        self.is_behind = False
        """Whether events had no room; they come after ``after`` and must be read elsewhere."""

    def offer(self, event: TaskEvent) -> bool:
        """Have ``event`` told; from the first one without room on, offer it no other."""
        if not self.is_behind:
            self.is_behind = not super().offer(event)
        return not self.is_behind

    def catch_up(self, live_from: EventPosition) -> None:
        """Take what comes after ``live_from`` again; what lies before is read elsewhere."""
        self.after, self.is_behind = live_from, False

    @property
    def _is_expecting(self) -> bool:
        return super()._is_expecting and not self.is_behind
