"""The feed: one reader per process tells all who watch what is new.

However many clients wait, Postgres is asked by one reader: when somebody announced
something, at most 20 times a second, and every second in any case, because announcements
may get lost. While nobody watches nothing is read.

Two kinds of watching have two kinds of order. A task's events are numbered without gaps
and each is written after the one before was committed, so its watchers are told at once.
The events of all tasks of a user are ordered by the transactions that wrote them; those
are told when every earlier transaction has ended, so that no event ever appears behind
one that has been told.

Progress has no history: it is read about once a second as it is then, and told to who
has not been told the same.

Before: transitions are committed; ``announcing`` wakes this process.
After: ``streams`` and ``long_polls`` have the events in their watchers.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import Protocol, TypeVar

import structlog

from orchestrator_api.errors import FieldFault, InvalidRequestError
from orchestrator_api.events.watchers import Ending, TaskWatcher, UserWatcher
from orchestrator_api.metrics import EventMetrics
from orchestrator_api.rounds import Rounds
from orchestrator_core.events import EventPosition, TaskEvent, TaskProgress
from orchestrator_core.postgres.event_store import EventPage
from orchestrator_core.tasks import TaskId, UserId

GAP_SECONDS = 0.05
"""Between two readings; some milliseconds of Postgres each, so at most a tenth of a core."""
POLL_SECONDS = 1.0
"""Without an announcement; the longest that an event of a quiet system waits."""
PROGRESS_SECONDS = 0.9
"""Between two readings of progress; a little less than the poll's pause: each poll reads it."""
MAX_SCAN = 5_000
"""Events of all users that one reading looks at: 100,000 a second, in statements of some 15 ms."""
MAX_TASK_EVENTS = 1_000
"""Of watched tasks in one reading."""
MAX_REPLAYS = 2
"""Readings under way at a time for those who come back; the hot path needs the connections."""
LAST_EVENT_ID = "Last-Event-ID"

KeyT = TypeVar("KeyT", TaskId, UserId)
WatcherT = TypeVar("WatcherT", TaskWatcher, UserWatcher)

_log = structlog.get_logger(__name__)


class EventSource(Protocol):
    """What is needed of an event store. All raise ``StoreUnavailableError``."""

    async def read_of_tasks(self, marks: Mapping[TaskId, int], *, limit: int) -> list[TaskEvent]:
        """Return what is new of tasks."""

    async def read_page(
        self, user_ids: Sequence[UserId], *, after: EventPosition, max_scan: int
    ) -> EventPage:
        """Return what is new of users."""

    async def read_progress(
        self, task_ids: Sequence[TaskId], user_ids: Sequence[UserId]
    ) -> list[TaskProgress]:
        """Return how far attempts are that run now."""

    async def read_horizon(self) -> EventPosition:
        """Return where everything told ends."""


@dataclass(frozen=True, slots=True)
class UserWatch:
    """A watching of all tasks of a user."""

    watcher: UserWatcher
    """Has what comes after ``live_from``."""
    replay_from: EventPosition
    live_from: EventPosition
    """What lies between both has to be replayed first."""


class EventFeed:
    """Everything that clients of this process watch."""

    def __init__(
        self, source: EventSource, metrics: EventMetrics, *, poll_seconds: float = POLL_SECONDS
    ) -> None:
        self._source = source
        self._metrics = metrics
        self._poll_seconds = poll_seconds
        self._by_task: dict[TaskId, set[TaskWatcher]] = {}
        self._by_user: dict[UserId, set[UserWatcher]] = {}
        # Where the last reading ended for all who watch a user; stale while nobody does.
        self._read_to = EventPosition(transaction=0, task_id=TaskId(0), seq=0)
        self._deserted = asyncio.Event()
        self._deserted.set()
        self._reading = asyncio.Lock()
        self._replaying = asyncio.Semaphore(MAX_REPLAYS)
        self._woken = asyncio.Event()
        self._is_leaving = False
        self._rounds = Rounds(_log, absent="events not read", failed="events not read")
        self._pause_seconds = poll_seconds
        self._held_back_seconds = GAP_SECONDS
        self._next_progress_at = 0.0

    @property
    def read_to(self) -> EventPosition:
        """The position up to which every user's watcher has been offered everything."""
        return self._read_to

    def wake(self, _payload: str = "") -> None:
        """Read soon: something was announced, or somebody came to watch."""
        self._woken.set()

    @contextmanager
    def watching_task(
        self, task_id: TaskId, *, after: int, wants_progress: bool = False
    ) -> Iterator[TaskWatcher]:
        """Watch a task.

        Args:
            task_id: which one.
            after: the number of the last of its events that needs no telling.
            wants_progress: tell what happens between the events, too.
        """
        watcher = TaskWatcher(after=after, wants_progress=wants_progress)
        self._by_task.setdefault(task_id, set()).add(watcher)
        try:
            self._admit(watcher)
            yield watcher
        finally:
            self._drop(self._by_task, task_id, watcher)

    @asynccontextmanager
    async def watching_user(
        self, user_id: UserId, *, after: EventPosition | None
    ) -> AsyncIterator[UserWatch]:
        """Watch all tasks of a user.

        Args:
            user_id: whose.
            after: the last event that needs no telling; None: from now on.

        Raises:
            InvalidRequestError: ``after`` lies ahead of everything that has been told.
            StoreUnavailableError: Postgres does not say where now is.
        """
        # No reading is under way meanwhile: it would not know of this watcher, and move on.
        async with self._reading:
            if not self._by_user:
                self._read_to = await self._source.read_horizon()
            live_from = self._read_to
            if after is not None and after > live_from:
                await self._require_told(after)
                live_from = after
            watcher = UserWatcher(after=live_from)
            self._by_user.setdefault(user_id, set()).add(watcher)
        try:
            self._admit(watcher)
            yield UserWatch(watcher, live_from if after is None else after, live_from)
        finally:
            self._drop(self._by_user, user_id, watcher)

    async def replay(self, user_id: UserId, watch: UserWatch) -> AsyncIterator[EventPage]:
        """Return, in pages, what the watcher itself is not going to have.

        A page may be without events; its end is where a client would go on nevertheless.

        Raises:
            StoreUnavailableError: Postgres is away; the rest has to be asked for again.
        """
        after = watch.replay_from
        while after < watch.live_from:
            async with self._replaying:
                page = await self._source.read_page([user_id], after=after, max_scan=MAX_SCAN)
            after = min(page.end, watch.live_from)
            events = [event for event in page.events if event.position <= watch.live_from]
            yield EventPage(events, after, page.is_more_coming)

    async def catch_up(self, watcher: UserWatcher) -> UserWatch:
        """Return what a watcher that is behind has to be told from the history."""
        async with self._reading:
            replay_from = watcher.after
            watcher.catch_up(self._read_to)
        return UserWatch(watcher, replay_from, self._read_to)

    def leave(self) -> None:
        """End every watching, now and from now on: this process is about to stop."""
        self._is_leaving = True
        for task_watcher in chain.from_iterable(self._by_task.values()):
            task_watcher.end(Ending.LEAVING)
        for user_watcher in chain.from_iterable(self._by_user.values()):
            user_watcher.end(Ending.LEAVING)

    async def drain(self) -> None:
        """End every watching and wait until the last watcher has gone."""
        self.leave()
        await self._deserted.wait()

    async def run(self) -> None:
        """Read whenever there may be something new, until cancelled."""
        while True:
            await self._await_cause()
            self._woken.clear()
            await self._rounds.go(self.read)
            await asyncio.sleep(GAP_SECONDS)

    async def read(self) -> None:
        """Tell all who watch what is new.

        Raises:
            StoreUnavailableError: Postgres is away; the next reading begins where this one did.
        """
        async with self._reading:
            told = await self._read_for_tasks()
            is_more_coming = False
            if self._by_user:
                page = await self._source.read_page(
                    list(self._by_user), after=self._read_to, max_scan=MAX_SCAN
                )
                self._tell_users(page.events)
                self._metrics.count_read(len(page.events))
                told = told or page.end != self._read_to
                self._read_to, is_more_coming = page.end, page.is_more_coming
            await self._read_progress()
        self._choose_pause(told=told, is_more_coming=is_more_coming)

    async def _read_for_tasks(self) -> bool:
        marks = {
            task_id: min(afters)
            for task_id, watchers in self._by_task.items()
            # One who has no room would be offered the same events again and again.
            if (afters := [each.after for each in watchers if not each.is_full])
        }
        if not marks:
            return False
        events = await self._source.read_of_tasks(marks, limit=MAX_TASK_EVENTS)
        for event in events:
            for each in self._by_task.get(event.task_id, ()):
                # Who lacks what lies before this reading would never get it after a later event:
                # who came meanwhile, or had no room when it began. The next reading is for him.
                if each.after >= marks[event.task_id]:
                    # What finds no room is read again: a task's history is at hand.
                    each.offer(event)
        self._metrics.count_read(len(events))
        return bool(events)

    async def _read_progress(self) -> None:
        """Tell how far attempts are, after the events, so that none is told of an attempt ended."""
        task_ids = [
            task_id
            for task_id, watchers in self._by_task.items()
            if any(each.wants_progress for each in watchers)
        ]
        now = asyncio.get_running_loop().time()
        if now < self._next_progress_at or not (task_ids or self._by_user):
            return
        self._next_progress_at = now + PROGRESS_SECONDS
        running = await self._source.read_progress(task_ids, list(self._by_user))
        of_users: defaultdict[UserId, list[TaskProgress]] = defaultdict(list)
        for each in running:
            of_users[each.user_id].append(each)
        of_tasks = {each.task_id: [each] for each in running}
        for task_id in task_ids:
            for task_watcher in self._by_task.get(task_id, ()):
                task_watcher.offer_progress(of_tasks.get(task_id, []))
        for user_id, user_watchers in self._by_user.items():
            for user_watcher in user_watchers:
                user_watcher.offer_progress(of_users.get(user_id, []))

    def _tell_users(self, events: Sequence[TaskEvent]) -> None:
        for event in events:
            for each in self._by_user.get(event.user_id, ()):
                was_behind = each.is_behind
                if not each.offer(event) and not was_behind:
                    self._metrics.count_behind()

    def _choose_pause(self, *, told: bool, is_more_coming: bool) -> None:
        """Decide how long to wait for an announcement.

        What is held back by a transaction under way is not announced again. Most end in
        milliseconds; one that takes long must not be asked about 20 times a second.
        """
        if told or not is_more_coming:
            self._held_back_seconds = GAP_SECONDS
        self._pause_seconds = self._held_back_seconds if is_more_coming else self._poll_seconds
        self._held_back_seconds = min(self._poll_seconds, self._held_back_seconds * 2)

    async def _await_cause(self) -> None:
        try:
            async with asyncio.timeout(None if self._deserted.is_set() else self._pause_seconds):
                await self._woken.wait()
        except TimeoutError:
            return

    async def _require_told(self, after: EventPosition) -> None:
        horizon = await self._source.read_horizon()
        if after.transaction > horizon.transaction:
            message = "names an event that has not happened; leave it out to begin with what is new"
            raise InvalidRequestError([FieldFault(LAST_EVENT_ID, message)])

    def _admit(self, watcher: TaskWatcher | UserWatcher) -> None:
        self._deserted.clear()
        if self._is_leaving:
            watcher.end(Ending.LEAVING)
        self.wake()

    def _drop(self, group: dict[KeyT, set[WatcherT]], key: KeyT, watcher: WatcherT) -> None:
        group[key].discard(watcher)
        if not group[key]:
            del group[key]
        if not self._by_task and not self._by_user:
            self._deserted.set()
