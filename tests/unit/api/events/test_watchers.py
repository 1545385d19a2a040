"""What waits for one watcher: bounded, in order, nothing twice."""

import asyncio

import pytest

from event_builders import a_position, an_event
from orchestrator_api.events.watchers import Ending, TaskWatcher, UserWatcher

FOREVER = 60.0


async def test_events_come_in_the_order_they_were_offered_and_none_twice() -> None:
    watcher = TaskWatcher(after=1)

    for seq in (1, 2, 3, 2, 3, 4):
        watcher.offer(an_event(seq))
    taken = [await watcher.take(within_seconds=FOREVER) for _ in range(3)]

    assert [event.seq for event in taken if event] == [2, 3, 4]
    assert await watcher.take(within_seconds=0) is None


async def test_a_users_watcher_goes_by_positions() -> None:
    watcher = UserWatcher(after=a_position(5, 2, 1))

    for event in (
        an_event(9, task_id=1, transaction=5),
        an_event(1, task_id=3, transaction=5),
        an_event(1, task_id=1, transaction=6),
    ):
        watcher.offer(event)
    taken = [await watcher.take(within_seconds=FOREVER) for _ in range(2)]

    assert [event.position for event in taken if event] == [
        a_position(5, 3, 1),
        a_position(6, 1, 1),
    ]


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
    assert [event and event.seq for event in taken] == [1, None]
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


@pytest.mark.parametrize("ending", list(Ending))
async def test_after_the_end_nothing_more_is_told(ending: Ending) -> None:
    watcher = TaskWatcher(after=0)
    watcher.offer(an_event(1))

    watcher.end(ending)
    watcher.end(Ending.LEAVING)
    watcher.offer(an_event(2))

    assert watcher.ending is ending
    assert await watcher.take(within_seconds=FOREVER) is None
