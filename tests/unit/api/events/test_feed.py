"""The one reader of a process: for whom it reads, when, and what it does without Postgres."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from functools import partial

import pytest
from prometheus_client import CollectorRegistry

from event_builders import a_position, a_progress, an_event, seq_of
from orchestrator_api.events.feed import EventFeed
from orchestrator_api.events.watchers import MAX_WAITING, Ending, TaskWatcher
from orchestrator_api.metrics import EventMetrics
from orchestrator_core.errors import StoreUnavailableError
from orchestrator_core.events import EventPosition, TaskEvent, TaskProgress
from orchestrator_core.postgres.event_store import EventPage
from orchestrator_core.tasks import TaskId, UserId

ADA, EVE = UserId(1), UserId(2)
FOREVER = 60.0


class History:
    """Events in memory, told as Postgres tells them."""

    def __init__(self) -> None:
        self.events: list[TaskEvent] = []
        self.running: list[TaskProgress] = []
        self.horizon = a_position(100)
        self.is_away = False
        self.is_more_coming = False
        self.readings: asyncio.Queue[str] = asyncio.Queue()
        self.meanwhile: Callable[[], Awaitable[object]] | None = None
        """What happens while it is asked about tasks for the next time."""
        self.asked_for_progress: list[tuple[list[TaskId], list[UserId]]] = []

    def write(self, *events: TaskEvent) -> None:
        self.events += events
        self.horizon = a_position(max(each.position.transaction for each in events) + 1)

    async def read_of_tasks(self, marks: Mapping[TaskId, int], *, limit: int) -> list[TaskEvent]:
        self._note("tasks")
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            await meanwhile()
        found = [each for each in self.events if each.seq > marks.get(each.task_id, 1 << 31)]
        return found[:limit]

    async def read_page(
        self, user_ids: Sequence[UserId], *, after: EventPosition, max_scan: int
    ) -> EventPage:
        self._note("page")
        seen = [each for each in self.events if after < each.position < self.horizon][:max_scan]
        end = seen[-1].position if len(seen) == max_scan else self.horizon
        own = [each for each in seen if each.user_id in user_ids]
        return EventPage(own, end, self.is_more_coming or len(seen) == max_scan)

    async def read_progress(
        self, task_ids: Sequence[TaskId], user_ids: Sequence[UserId]
    ) -> list[TaskProgress]:
        self.asked_for_progress.append((list(task_ids), list(user_ids)))
        return [
            each for each in self.running if each.task_id in task_ids or each.user_id in user_ids
        ]

    async def read_horizon(self) -> EventPosition:
        self._note("horizon")
        return self.horizon

    def _note(self, what: str) -> None:
        self.readings.put_nowait(what)
        if self.is_away:
            raise StoreUnavailableError("postgres", what)


@pytest.fixture
def history() -> History:
    return History()


@pytest.fixture
def feed(history: History) -> EventFeed:
    return EventFeed(history, EventMetrics(CollectorRegistry()), poll_seconds=0.2)


@asynccontextmanager
async def running(feed: EventFeed) -> AsyncIterator[None]:
    task = asyncio.create_task(feed.run())
    yield
    task.cancel()
    await asyncio.wait({task})


async def test_while_nobody_watches_nothing_is_read(feed: EventFeed, history: History) -> None:
    async with running(feed):
        feed.wake("announced")
        await asyncio.sleep(0.3)

    assert history.readings.empty()


async def test_of_two_who_watch_a_task_each_gets_what_he_lacks(
    feed: EventFeed, history: History
) -> None:
    history.write(*(an_event(seq) for seq in (1, 2, 3)))
    with (
        feed.watching_task(TaskId(1), after=0) as fresh,
        feed.watching_task(TaskId(1), after=2) as returned,
    ):
        await feed.read()
        first = [await fresh.take(within_seconds=0) for _ in range(4)]
        second = [await returned.take(within_seconds=0) for _ in range(2)]

    assert [seq_of(each) for each in first] == [1, 2, 3, None]
    assert [seq_of(each) for each in second] == [3, None]


async def test_who_comes_during_a_reading_that_leaves_out_what_he_lacks_is_told_by_the_next(
    feed: EventFeed, history: History
) -> None:
    history.write(*(an_event(seq) for seq in (1, 2, 3)))
    newcomers: list[TaskWatcher] = []
    with feed.watching_task(TaskId(1), after=2) as early, ExitStack() as stack:

        async def come() -> None:
            newcomers.append(stack.enter_context(feed.watching_task(TaskId(1), after=0)))

        history.meanwhile = come
        await feed.read()
        first = [await each.take(within_seconds=0) for each in (early, *newcomers)]
        await feed.read()
        rest = [await newcomers[0].take(within_seconds=0) for _ in range(4)]

    assert [seq_of(each) for each in first] == [3, None]
    assert [seq_of(each) for each in rest] == [1, 2, 3, None]


async def test_who_gets_room_during_a_reading_that_was_not_for_him_misses_nothing(
    feed: EventFeed, history: History
) -> None:
    history.write(*(an_event(seq) for seq in range(1, MAX_WAITING + 4)))
    with feed.watching_task(TaskId(1), after=0) as slow:
        await feed.read()
        with feed.watching_task(TaskId(1), after=MAX_WAITING + 2):
            history.meanwhile = partial(slow.take, within_seconds=0)
            await feed.read()
        await feed.read()
        told = [seq_of(await slow.take(within_seconds=0)) for _ in range(MAX_WAITING)]

    assert told[-2:] == [MAX_WAITING, MAX_WAITING + 1]


async def test_a_user_who_came_between_two_readings_is_told_what_comes_after(
    feed: EventFeed, history: History
) -> None:
    async with feed.watching_user(ADA, after=None) as early:
        history.write(an_event(1, transaction=101), an_event(1, user_id=EVE, transaction=102))
        async with feed.watching_user(ADA, after=None) as late:
            await feed.read()
            told = [await each.watcher.take(within_seconds=0) for each in (early, late)]

    assert [event and event.user_id for event in told] == [ADA, ADA]
    assert early.live_from == late.live_from == a_position(100)


async def test_what_lies_before_the_watching_is_replayed_and_nothing_is_told_twice(
    feed: EventFeed, history: History
) -> None:
    history.write(*(an_event(seq, transaction=100 + seq) for seq in range(1, 6)))
    async with feed.watching_user(EVE, after=None):
        history.write(*(an_event(seq, transaction=100 + seq) for seq in range(6, 9)))
        async with feed.watching_user(ADA, after=a_position(102, 1, 2)) as watch:
            replayed = [
                event.seq async for page in feed.replay(ADA, watch) for event in page.events
            ]
            await feed.read()
            live = [await watch.watcher.take(within_seconds=0) for _ in range(4)]

    assert replayed == [3, 4, 5]
    assert [seq_of(each) for each in live] == [6, 7, 8, None]


async def test_who_falls_behind_costs_no_other_an_event_and_is_told_the_rest_from_the_history(
    feed: EventFeed, history: History
) -> None:
    async with (
        feed.watching_user(ADA, after=None) as slow,
        feed.watching_user(ADA, after=None) as quick,
    ):
        history.write(*(an_event(seq, transaction=100 + seq) for seq in range(1, MAX_WAITING + 1)))
        await feed.read()
        await quick.watcher.take(within_seconds=0)
        history.write(an_event(MAX_WAITING + 1, transaction=2_000))
        await feed.read()
        behind = [each.watcher.is_behind for each in (slow, quick)]

        told: list[int | None] = []
        while event := await slow.watcher.take(within_seconds=0):
            told.append(seq_of(event))
        again = await feed.catch_up(slow.watcher)
        told += [event.seq async for page in feed.replay(ADA, again) for event in page.events]
        history.write(an_event(MAX_WAITING + 2, transaction=3_000))
        await feed.read()
        now = await slow.watcher.take(within_seconds=0)

    assert behind == [True, False]
    assert told == list(range(1, MAX_WAITING + 2))
    assert seq_of(now) == MAX_WAITING + 2


async def test_a_task_with_a_long_history_is_told_as_its_watcher_reads(
    feed: EventFeed, history: History
) -> None:
    count = 2 * MAX_WAITING + 10
    history.write(*(an_event(seq) for seq in range(1, count + 1)))
    told: list[int | None] = []
    with feed.watching_task(TaskId(1), after=0) as watcher:
        while len(told) < count:
            await feed.read()
            while event := await watcher.take(within_seconds=0):
                told.append(seq_of(event))

    assert told == list(range(1, count + 1))


async def test_without_postgres_it_waits_and_then_goes_on_where_it_was(
    feed: EventFeed, history: History
) -> None:
    async with feed.watching_user(ADA, after=None) as watch, running(feed):
        history.is_away = True
        history.write(an_event(1, transaction=101))
        feed.wake()
        while not history.readings.empty():
            history.readings.get_nowait()
        for _ in range(2):
            await history.readings.get()
        history.is_away = False
        event = await watch.watcher.take(within_seconds=FOREVER)

    assert event is not None


async def test_what_is_held_back_is_asked_for_soon_and_then_more_and_more_rarely(
    feed: EventFeed, history: History
) -> None:
    clock = asyncio.get_running_loop().time
    history.is_more_coming = True
    times: list[float] = []
    async with feed.watching_user(ADA, after=None), running(feed):
        while len(times) < 5:
            if await history.readings.get() == "page":
                times.append(clock())
    waits = [after - before for before, after in itertools.pairwise(times)]

    assert waits[0] < 0.2
    assert waits[-1] > waits[0]


async def test_leaving_ends_every_watching_also_those_that_come_later(feed: EventFeed) -> None:
    async with feed.watching_user(ADA, after=None) as watch:
        with feed.watching_task(TaskId(1), after=0) as watcher:
            draining = asyncio.create_task(feed.drain())
            await asyncio.sleep(0)
            endings = [watch.watcher.ending, watcher.ending]
            with feed.watching_task(TaskId(1), after=0) as late:
                endings.append(late.ending)
            was_drained = draining.done()
    await draining

    assert endings == [Ending.LEAVING] * 3
    assert not was_drained


async def test_progress_goes_to_who_wants_it_of_that_task_and_to_its_user(
    feed: EventFeed, history: History
) -> None:
    mine, foreign = a_progress(0.4), a_progress(0.7, task_id=TaskId(2), user_id=EVE)
    history.running = [mine, foreign]
    with (
        feed.watching_task(TaskId(1), after=0, wants_progress=True) as follower,
        feed.watching_task(TaskId(1), after=0) as poller,
    ):
        async with feed.watching_user(ADA, after=None) as user:
            await feed.read()
            told = [
                [await each.take(within_seconds=0) for _ in range(2)]
                for each in (follower, poller, user.watcher)
            ]

    assert told == [[mine, None], [None, None], [mine, None]]


async def test_progress_is_read_about_once_a_second_however_often_events_are(
    feed: EventFeed, history: History
) -> None:
    with feed.watching_task(TaskId(1), after=0, wants_progress=True):
        for _ in range(5):
            await feed.read()

    assert history.asked_for_progress == [([TaskId(1)], [])]


async def test_for_long_polls_alone_no_progress_is_read(feed: EventFeed, history: History) -> None:
    with feed.watching_task(TaskId(1), after=0):
        await feed.read()

    assert history.asked_for_progress == []
