"""Natural batching: what arrives while a flush is under way goes out with the next one.

There is no timer. An item that arrives when nothing is under way is flushed at
once, alone, so an idle system adds no latency; under load, batches grow by
themselves until they amortise the fsync or the round trip they wait for.
Graphile Worker, River and Hatchet owe most of their speed to this.

Before: request handlers, the dispatcher or finished attempts call ``submit`` or ``offer``.
After: ``flush`` brings a whole batch to Postgres or RabbitMQ.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Generic, TypeVar

from orchestrator_core.errors import OverloadedError, RowRefusedError

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")
Flush = Callable[[Sequence[ItemT]], Awaitable[Sequence[ResultT]]]
"""Takes a batch and returns one result per item, in order; raises if the whole batch failed."""


class Batcher(Generic[ItemT, ResultT]):
    """Collects items into batches and hands each submitter its own result.

    A submitter that goes away (its client hung up) cancels nothing: the batch
    owns the work. A row that Postgres refuses fails alone: its batch is
    repeated row by row.
    """

    def __init__(
        self, name: str, flush: Flush[ItemT, ResultT], *, max_batch: int, max_waiting: int
    ) -> None:
        self._name = name
        self._flush = flush
        self._max_batch = max_batch
        self._max_waiting = max_waiting
        # Nobody waits for the result of an offered item: it has no future.
        self._waiting: deque[tuple[ItemT, asyncio.Future[ResultT] | None]] = deque()
        self._arrived = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    async def submit(self, item: ItemT) -> ResultT:
        """Flush ``item`` with others and return its result.

        Raises:
            OverloadedError: ``max_waiting`` items wait already; nothing was kept.
            OrchestratorError: what ``flush`` raised for this item.
        """
        result: asyncio.Future[ResultT] = asyncio.get_running_loop().create_future()
        if not self._enqueue(item, result):
            raise OverloadedError(self._name, self._max_waiting)
        return await result

    def offer(self, item: ItemT) -> bool:
        """Let ``item`` be flushed with others without waiting for it.

        Returns:
            False when ``max_waiting`` items wait already: the item was dropped.
        """
        return self._enqueue(item, None)

    async def drain(self) -> None:
        """Wait until nothing waits and no flush is under way. ``run`` must be running."""
        await self._idle.wait()

    async def run(self) -> None:
        """Flush until cancelled. What waits at that moment fails with ``CancelledError``."""
        try:
            while True:
                await self._arrived.wait()
                self._arrived.clear()
                while self._waiting:
                    size = min(self._max_batch, len(self._waiting))
                    batch = [self._waiting.popleft() for _ in range(size)]
                    try:
                        await self._flush_batch(batch)
                    finally:
                        _abandon(batch)
                self._idle.set()
        finally:
            _abandon(self._waiting)

    def _enqueue(self, item: ItemT, result: asyncio.Future[ResultT] | None) -> bool:
        if len(self._waiting) >= self._max_waiting:
            return False
        self._waiting.append((item, result))
        self._idle.clear()
        self._arrived.set()
        return True

    async def _flush_batch(self, batch: list[tuple[ItemT, asyncio.Future[ResultT] | None]]) -> None:
        try:
            outcomes = await self._flush([item for item, _ in batch])
        except RowRefusedError as error:
            if len(batch) == 1:
                _fail(batch, error)
                return
            for single in batch:
                await self._flush_batch([single])
        except Exception as error:  # noqa: BLE001 - each submitter gets it and decides
            _fail(batch, error)
        else:
            for (_, result), outcome in zip(batch, outcomes, strict=True):
                if result is not None and not result.done():
                    result.set_result(outcome)


def _abandon(batch: Iterable[tuple[ItemT, asyncio.Future[ResultT] | None]]) -> None:
    """Leave no submitter waiting for a flush that was cut off; those with a result keep it."""
    for _, result in batch:
        if result is not None:
            result.cancel()


def _fail(batch: list[tuple[ItemT, asyncio.Future[ResultT] | None]], error: Exception) -> None:
    for _, result in batch:
        if result is not None and not result.done():
            result.set_exception(error)
