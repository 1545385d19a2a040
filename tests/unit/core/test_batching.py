"""What ``Batcher`` promises to those who submit."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from orchestrator_core.batching import Batcher
from orchestrator_core.errors import OverloadedError, RowRefusedError, StoreUnavailableError


class AStore:
    """Records the batches it gets and answers when told to; refuses negative rows."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.entered = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.fault: Exception | None = None

    async def flush(self, batch: Sequence[int]) -> list[int]:
        self.batches.append(list(batch))
        self.entered.set()
        await self.may_answer.wait()
        if self.fault is not None:
            raise self.fault
        if any(item < 0 for item in batch):
            raise RowRefusedError("negative")
        return [item * 10 for item in batch]


@asynccontextmanager
async def a_running_batcher(
    store: AStore, *, max_batch: int = 100, max_waiting: int = 100
) -> AsyncIterator[Batcher[int, int]]:
    batcher = Batcher("items", store.flush, max_batch=max_batch, max_waiting=max_waiting)
    running = asyncio.create_task(batcher.run())
    yield batcher
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def a_submission(batcher: Batcher[int, int], item: int) -> "asyncio.Task[int]":
    """Submit in a task of its own and return once the item waits in the batcher."""
    task = asyncio.create_task(batcher.submit(item))
    await asyncio.sleep(0)
    return task


async def test_an_item_that_arrives_when_idle_is_flushed_alone_and_at_once() -> None:
    store = AStore()
    store.may_answer.set()

    async with a_running_batcher(store) as batcher:
        result = await batcher.submit(1)

    assert result == 10
    assert store.batches == [[1]]


async def test_items_that_arrive_during_a_flush_go_out_together_with_the_next() -> None:
    store = AStore()
    async with a_running_batcher(store) as batcher:
        first = await a_submission(batcher, 1)
        await store.entered.wait()

        others = [await a_submission(batcher, item) for item in (2, 3, 4)]
        store.may_answer.set()
        results = await asyncio.gather(first, *others)

    assert store.batches == [[1], [2, 3, 4]]
    assert results == [10, 20, 30, 40]


async def test_a_batch_is_never_larger_than_its_limit() -> None:
    store = AStore()
    async with a_running_batcher(store, max_batch=2) as batcher:
        submissions = [await a_submission(batcher, item) for item in range(5)]
        store.may_answer.set()
        await asyncio.gather(*submissions)

    assert max(len(batch) for batch in store.batches) == 2
    assert sorted(item for batch in store.batches for item in batch) == [0, 1, 2, 3, 4]


async def test_a_refused_row_fails_alone_and_its_neighbours_are_kept() -> None:
    store = AStore()
    async with a_running_batcher(store) as batcher:
        first = await a_submission(batcher, 1)
        await store.entered.wait()
        neighbours = [await a_submission(batcher, item) for item in (2, -3, 4)]
        store.may_answer.set()

        results = await asyncio.gather(first, *neighbours, return_exceptions=True)

    assert results[0] == 10
    assert results[1] == 20
    assert isinstance(results[2], RowRefusedError)
    assert results[3] == 40


async def test_an_absent_store_fails_the_whole_batch_once_and_later_items_get_through() -> None:
    store = AStore()
    store.may_answer.set()
    store.fault = StoreUnavailableError("postgres", "insert")
    async with a_running_batcher(store) as batcher:
        with pytest.raises(StoreUnavailableError):
            await batcher.submit(1)
        store.fault = None

        result = await batcher.submit(2)

    assert result == 20
    assert store.batches == [[1], [2]]


async def test_a_submitter_that_goes_away_cancels_nothing() -> None:
    store = AStore()
    async with a_running_batcher(store) as batcher:
        gone = await a_submission(batcher, 1)
        stays = await a_submission(batcher, 2)
        await store.entered.wait()

        gone.cancel()
        store.may_answer.set()
        result = await stays
        await batcher.drain()

    assert result == 20
    assert [item for batch in store.batches for item in batch] == [1, 2]


async def test_a_full_batcher_refuses_at_once_and_keeps_nothing_of_the_refused_item() -> None:
    store = AStore()
    async with a_running_batcher(store, max_waiting=2) as batcher:
        under_way = await a_submission(batcher, 1)
        await store.entered.wait()
        waiting = [await a_submission(batcher, item) for item in (2, 3)]

        with pytest.raises(OverloadedError, match="items: 2 are waiting already"):
            await batcher.submit(4)
        was_taken = batcher.offer(5)
        store.may_answer.set()
        await asyncio.gather(under_way, *waiting)

    assert not was_taken
    assert store.batches == [[1], [2, 3]]


async def test_an_offered_item_is_flushed_though_nobody_waits() -> None:
    store = AStore()
    store.may_answer.set()
    async with a_running_batcher(store) as batcher:
        was_taken = batcher.offer(1)
        await batcher.drain()

    assert was_taken
    assert store.batches == [[1]]


async def test_a_failed_flush_of_offered_items_disturbs_nobody() -> None:
    store = AStore()
    store.may_answer.set()
    store.fault = StoreUnavailableError("rabbitmq", "publish")
    async with a_running_batcher(store) as batcher:
        batcher.offer(1)
        await batcher.drain()
        store.fault = None

        result = await batcher.submit(2)

    assert result == 20


async def test_draining_waits_for_the_flush_under_way_and_for_what_waits_behind_it() -> None:
    store = AStore()
    async with a_running_batcher(store) as batcher:
        batcher.offer(1)
        await store.entered.wait()
        batcher.offer(2)
        drained = asyncio.create_task(batcher.drain())
        await asyncio.sleep(0)
        was_done_too_early = drained.done()

        store.may_answer.set()
        await drained

    assert not was_done_too_early
    assert store.batches == [[1], [2]]


async def test_draining_an_idle_batcher_returns_at_once() -> None:
    async with a_running_batcher(AStore()) as batcher:
        await batcher.drain()


async def test_stopping_leaves_no_submitter_waiting() -> None:
    store = AStore()
    batcher = Batcher("items", store.flush, max_batch=1, max_waiting=10)
    running = asyncio.create_task(batcher.run())
    submissions = [await a_submission(batcher, item) for item in (1, 2)]
    await store.entered.wait()

    running.cancel()
    results = await asyncio.gather(running, *submissions, return_exceptions=True)

    assert all(isinstance(result, asyncio.CancelledError) for result in results)


async def test_stopping_in_the_middle_of_a_row_by_row_repetition_leaves_nobody_waiting() -> None:
    repeating = asyncio.Event()

    async def refuses_then_hangs(batch: Sequence[int]) -> list[int]:
        if len(batch) > 1:
            raise RowRefusedError("one of them")
        repeating.set()
        await asyncio.Event().wait()
        return []

    batcher = Batcher("items", refuses_then_hangs, max_batch=10, max_waiting=10)
    submissions = [await a_submission(batcher, item) for item in (1, 2)]
    running = asyncio.create_task(batcher.run())
    await repeating.wait()

    running.cancel()
    results = await asyncio.gather(running, *submissions, return_exceptions=True)

    assert all(isinstance(result, asyncio.CancelledError) for result in results)


async def test_a_flush_that_answers_for_the_wrong_number_of_items_leaves_nobody_waiting() -> None:
    async def forgets(_: Sequence[int]) -> list[int]:
        return []

    batcher: Batcher[int, int] = Batcher("items", forgets, max_batch=10, max_waiting=10)
    running = asyncio.create_task(batcher.run())

    with pytest.raises(asyncio.CancelledError):
        await batcher.submit(1)
    with pytest.raises(ValueError, match="zip"):
        await running
