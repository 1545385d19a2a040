"""What waits for one watcher: bounded, in order, nothing twice."""

import asyncio

import pytest

from event_builders import a_position, a_progress, an_event, seq_of
from orchestrator_api.events.watchers import Ending, TaskWatcher, UserWatcher
from orchestrator_core.events import TaskEvent, TaskProgress
from orchestrator_core.tasks import TaskId

FOREVER = 60.0


async def test_events_come_in_the_order_they_were_offered_and_none_twice() -> None:
    watcher = TaskWatcher(after=1)

    for seq in (1, 2, 3, 2, 3, 4):
        watcher.offer(an_event(seq))
    taken = [await watcher.take(within_seconds=FOREVER) for _ in range(3)]

    assert [seq_of(each) for each in taken] == [2, 3, 4]
    assert await watcher.take(within_seconds=0) is None


async def test_a_users_watcher_goes_by_positions() -> None:
    watcher = UserWatcher(after=a_position(5, 2, 1))

    told, *new = (
        an_event(9, task_id=1, transaction=5),
        an_event(1, task_id=3, transaction=5),
        an_event(1, task_id=1, transaction=6),
    )
    for event in (told, *new):
        watcher.offer(event)
    taken = [await watcher.take(within_seconds=FOREVER) for _ in range(2)]

    assert taken == new


async def test_it_holds_only_so_many_and_says_what_it_could_not_take() -> None:
    watcher = TaskWatcher(after=0, max_waiting=2)

    accepted = [watcher.offer(an_event(seq)) for seq in (1, 2, 3, 1)]
    await watcher.take(within_seconds=FOREVER)

    assert accepted == [True, True, False, True]
    assert watcher.after == 2
    assert watcher.offer(an_event(3))


async def test_a_users_watcher_that_is_behind_takes_nothing_more_and_does_not_wait() -> None:
    watcher = UserWatcher(after=a_position(0), max_waiting=1)

    accepted = [watcher.offer(an_event(seq)) for seq in (1, 2, 3)]
    taken = [await watcher.take(within_seconds=FOREVER) for _ in range(2)]
    accepted.append(watcher.offer(an_event(3)))
    watcher.catch_up(a_position(3, 1, 3))
    accepted.append(watcher.offer(an_event(4)))

    assert accepted == [True, False, False, False, True]
    assert [seq_of(each) for each in taken] == [1, None]
    assert watcher.after == a_position(4, 1, 4)


async def test_who_waits_is_woken_by_an_event_and_by_the_end() -> None:
    watcher = TaskWatcher(after=0)
    waiting = asyncio.create_task(watcher.take(within_seconds=FOREVER))
    await asyncio.sleep(0)
    watcher.offer(an_event(1))
    first = await waiting

    ending = asyncio.create_task(watcher.await_end())
    waiting = asyncio.create_task(watcher.take(within_seconds=FOREVER))
    await asyncio.sleep(0)
    watcher.end(Ending.LEAVING)

    assert first is not None
    assert await waiting is None
    await ending


@pytest.mark.parametrize("news", [an_event(1), a_progress(0.5)])
async def test_what_comes_in_the_moment_in_which_the_time_is_up_is_taken(
    news: TaskEvent | TaskProgress,
) -> None:
    watcher = TaskWatcher(after=0, wants_progress=True)
    waiting = asyncio.create_task(watcher.take(within_seconds=0))

    # Comes before the timeout, which then ends the wait before the news does.
    if isinstance(news, TaskEvent):
        asyncio.get_running_loop().call_soon(watcher.offer, news)
    else:
        asyncio.get_running_loop().call_soon(watcher.offer_progress, [news])

    assert await waiting == news
    assert await watcher.take(within_seconds=0) is None


@pytest.mark.parametrize("ending", list(Ending))
async def test_after_the_end_nothing_more_is_told(ending: Ending) -> None:
    watcher = TaskWatcher(after=0)
    watcher.offer(an_event(1))

    watcher.end(ending)
    watcher.end(Ending.LEAVING)
    watcher.offer(an_event(2))

    assert watcher.ending is ending
    assert await watcher.take(within_seconds=FOREVER) is None


async def test_of_progress_only_the_latest_waits_and_the_same_is_not_told_twice() -> None:
    watcher = TaskWatcher(after=0, wants_progress=True)

    for fraction in (0.1, 0.2, 0.3):
        watcher.offer_progress([a_progress(fraction)])
    latest = await watcher.take(within_seconds=FOREVER)
    watcher.offer_progress([a_progress(0.3)])
    same = await watcher.take(within_seconds=0)
    watcher.offer_progress([a_progress(0.3, message="still")])
    other = await watcher.take(within_seconds=FOREVER)

    assert (latest, same, other) == (a_progress(0.3), None, a_progress(0.3, message="still"))


async def test_events_go_before_progress_and_make_an_end_of_what_was_told_before_them() -> None:
    watcher = UserWatcher(after=a_position(0))
    watcher.offer_progress([a_progress(0.9), a_progress(0.1, task_id=TaskId(2))])

    watcher.offer(an_event(1))
    taken = [await watcher.take(within_seconds=0) for _ in range(3)]

    assert taken == [an_event(1), a_progress(0.1, task_id=TaskId(2)), None]


async def test_a_new_attempt_that_is_as_far_as_the_one_before_is_told() -> None:
    watcher = TaskWatcher(after=0, wants_progress=True)
    watcher.offer_progress([a_progress(0.5)])
    await watcher.take(within_seconds=FOREVER)

    watcher.offer_progress([])
    watcher.offer_progress([a_progress(0.5)])

    assert await watcher.take(within_seconds=0) == a_progress(0.5)


async def test_who_is_about_transitions_only_is_not_woken_by_progress() -> None:
    watcher = TaskWatcher(after=0)

    watcher.offer_progress([a_progress(0.5)])

    assert await watcher.take(within_seconds=0) is None


async def test_after_the_end_no_progress_is_told_either() -> None:
    watcher = TaskWatcher(after=0, wants_progress=True)
    watcher.offer_progress([a_progress(0.1)])

    watcher.end(Ending.LEAVING)
    watcher.offer_progress([a_progress(0.2)])

    assert await watcher.take(within_seconds=FOREVER) is None
