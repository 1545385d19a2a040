"""Whose tasks wait for whose commits."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager

from orchestrator_api.metrics import Metrics
from orchestrator_api.tasks.keeping import Keepers, build_keepers
from orchestrator_core.errors import OverloadedError
from orchestrator_core.submissions import Kept, Replayed, Submission, Verdict
from orchestrator_core.tasks import NewTask, TaskId, UserId

TASK = NewTask(
    user_id=UserId(1),
    task_type="any",
    payload="{}",
    max_attempts=1,
    timeout_seconds=1,
    trace_context="any",
)
SINGLE, BULK = Submission([TASK]), Submission([TASK] * 3)


class SlowStore:
    """Keeps what it is told to, when it is told to."""

    def __init__(self, *verdicts: Verdict) -> None:
        self.flushes: list[list[int]] = []
        """How many tasks each submission had, by flush."""
        self.bulks_may_go = asyncio.Event()
        self._verdicts = list(verdicts)

    async def keep(
        self, submissions: Sequence[Submission], *, ring_after_seconds: float
    ) -> list[Verdict]:
        assert ring_after_seconds > 0
        self.flushes.append([len(each.tasks) for each in submissions])
        if len(submissions[0].tasks) > 1:
            await self.bulks_may_go.wait()
        return [
            self._verdicts.pop(0) if self._verdicts else Kept([TaskId(1)], [TaskId(1)])
            for _ in submissions
        ]


class Rings:
    """Notes for which tasks the bell would ring."""

    def __init__(self) -> None:
        self.offered: list[int] = []

    def offer(self, task_ids: Iterable[TaskId], *, trace_context: str) -> None:
        assert trace_context
        self.offered += task_ids


@asynccontextmanager
async def running(store: SlowStore, rings: Rings) -> AsyncIterator[Keepers]:
    keepers = build_keepers(store, rings, Metrics().tasks, max_waiting=10, ring_after_seconds=10)
    services = [asyncio.create_task(each.run()) for each in (keepers.singles, keepers.bulks)]
    try:
        yield keepers
    finally:
        for service in services:
            service.cancel()
        await asyncio.gather(*services, return_exceptions=True)


async def test_a_single_task_does_not_wait_behind_a_bulk() -> None:
    store = SlowStore()
    async with running(store, Rings()) as keepers:
        bulk = asyncio.create_task(keepers.bulks.submit(BULK))
        await asyncio.sleep(0)

        await keepers.singles.submit(SINGLE)

        assert not bulk.done()
        store.bulks_may_go.set()
        await bulk


async def test_single_tasks_share_commits_and_bulks_never_do() -> None:
    store = SlowStore()
    store.bulks_may_go.set()
    async with running(store, Rings()) as keepers:
        await asyncio.gather(
            *(keepers.singles.submit(SINGLE) for _ in range(5)),
            *(keepers.bulks.submit(BULK) for _ in range(3)),
        )

    assert sorted(store.flushes) == [[1] * 5, [3], [3], [3]]


async def test_the_bell_rings_for_what_was_kept_now_and_is_due_and_for_nothing_else() -> None:
    rings = Rings()
    store = SlowStore(
        Kept([TaskId(1), TaskId(2)], [TaskId(2)]), Kept([TaskId(3)], []), Replayed([TaskId(4)])
    )
    async with running(store, rings) as keepers:
        await asyncio.gather(*(keepers.singles.submit(SINGLE) for _ in range(3)))

    assert rings.offered == [2]


async def test_bulks_that_could_not_be_answered_in_time_are_refused_at_once() -> None:
    store = SlowStore()
    store.bulks_may_go.set()
    async with running(store, Rings()) as keepers:
        answers = await asyncio.gather(
            *(keepers.bulks.submit(BULK) for _ in range(40)), return_exceptions=True
        )

    assert sum(isinstance(each, Kept) for each in answers) == 32
    assert sum(isinstance(each, OverloadedError) for each in answers) == 8
