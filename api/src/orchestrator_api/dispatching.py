"""Ring the doorbell: at once for fresh tasks, and again for whatever is still due.

Two ways lead to a ring. ``FirstRings`` publishes right after a commit, without
anybody waiting for it; what it can't publish it forgets. ``Sweep`` reads from
Postgres what is due, unclaimed and not lately rung, and so repairs everything:
an API that died between commit and publish, a wiped broker, retries whose time
has come, leases of lost workers. It runs in every replica; taking a ring is one
statement that skips what another replica has locked.

Before: ``tasks.keeping`` has committed rows; ``live_tasks`` says what is due.
After: workers get envelopes and claim the rows.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from random import Random
from typing import Protocol

import structlog

from orchestrator_api.rounds import Rounds
from orchestrator_core.batching import Batcher
from orchestrator_core.envelope import TaskEnvelope
from orchestrator_core.errors import StoreUnavailableError
from orchestrator_core.postgres.load_store import LoadStore
from orchestrator_core.postgres.task_store import DueRing, TaskStore
from orchestrator_core.tasks import TaskId

FIRST_RING_LOST_SECONDS = 10.0
"""A confirm takes milliseconds; after this the sweep takes a first ring for lost."""
RING_AGAIN_SECONDS = 30.0
"""Repeated rings repair a wiped broker within the promised minute; oftener would be idle writes."""
SWEEP_SECONDS = 1.0
PAGE_RINGS = 500
"""One statement and one batch of confirms; some 50 ms."""
_MAX_PAGES = 20
"""Of one sweep; a deeper backlog goes on with the next, a second later."""
_MAX_WAITING_RINGS = 20_000
"""A ring is a few dozen bytes; beyond that RabbitMQ is away and the sweep has to ring anyway."""
_PAUSE_SECONDS = 1.0
"""Rings offered this soon after a failure are left to the sweep instead of a connection each."""

_log = structlog.get_logger(__name__)


class Bell(Protocol):
    """What is needed of a doorbell."""

    async def ring(self, envelopes: Sequence[TaskEnvelope]) -> None:
        """Publish all, confirmed, or raise ``StoreUnavailableError``."""

    async def depth_messages(self) -> int:
        """Return how many messages wait, or raise ``StoreUnavailableError``."""


class FirstRings:
    """Rings for tasks that were committed just now. May forget any of them."""

    def __init__(self, bell: Bell) -> None:
        self._bell = bell
        self._silent_until = 0.0
        self._batcher: Batcher[TaskEnvelope, None] = Batcher(
            "first rings", self._ring, max_batch=256, max_waiting=_MAX_WAITING_RINGS
        )

    def offer(self, task_ids: Iterable[TaskId]) -> None:
        """Ring for ``task_ids`` soon, without waiting."""
        forgotten = sum(not self._batcher.offer(TaskEnvelope(each)) for each in task_ids)
        if forgotten:
            _log.debug("first rings left to the sweep", count=forgotten, reason="queue full")

    async def drain(self) -> None:
        """Wait until nothing is left to ring. ``run`` must be running."""
        await self._batcher.drain()

    async def run(self) -> None:
        """Ring until cancelled."""
        await self._batcher.run()

    async def _ring(self, envelopes: Sequence[TaskEnvelope]) -> list[None]:
        clock = asyncio.get_running_loop().time
        if clock() < self._silent_until:
            _log.debug("first rings left to the sweep", count=len(envelopes), reason="pause")
        else:
            try:
                await self._bell.ring(envelopes)
            except StoreUnavailableError as error:
                self._silent_until = clock() + _PAUSE_SECONDS
                _log.debug("first rings left to the sweep", count=len(envelopes), reason=str(error))
        return [None] * len(envelopes)


def choose_rings(due: Sequence[DueRing], *, ready_tasks: int, depth_messages: int) -> list[TaskId]:
    """Decide which of ``due`` to ring now.

    A task that has not rung since it became due always rings. One that has is
    most likely waiting behind others: its message is in the queue, and ringing
    again would double every message of a deep backlog every half minute. It
    rings only as far as more tasks are ready than messages wait.

    Args:
        due: rings whose time has come, the longest waiting first.
        ready_tasks: due and held by nobody, those in ``due`` among them.
        depth_messages: waiting in the queue.
    """
    first = sum(ring.earlier_rings == 0 for ring in due)
    missing = max(0, ready_tasks - depth_messages - first)
    chosen: list[TaskId] = []
    for ring in due:
        if ring.earlier_rings == 0:
            chosen.append(ring.task_id)
        elif missing > 0:
            missing -= 1
            chosen.append(ring.task_id)
    return chosen


class Sweep:
    """Rings again whatever is due, and ends what has no attempt left."""

    def __init__(  # noqa: PLR0913 - what it works on, and what tests replace
        self,
        tasks: TaskStore,
        load: LoadStore,
        bell: Bell,
        *,
        chance: Random,
        announce: Callable[[], None] = lambda: None,
        ring_again_seconds: float = RING_AGAIN_SECONDS,
    ) -> None:
        """Take the stores.

        Args:
            tasks: to take rings from.
            load: says how much is ready.
            bell: to ring.
            chance: keeps replicas apart.
            announce: called when tasks were ended, for those who follow them.
            ring_again_seconds: until a ring that led to nothing is repeated.
        """
        self._tasks = tasks
        self._load = load
        self._bell = bell
        self._chance = chance
        self._announce = announce
        self._ring_again_seconds = ring_again_seconds
        self._rounds = Rounds(
            _log, absent="sweep waits for a store", failed="sweep failed", back="sweep goes on"
        )

    async def run(self) -> None:
        """Sweep about once a second until cancelled."""
        while True:
            # Jitter: replicas that started together must not sweep together.
            await asyncio.sleep(SWEEP_SECONDS * self._chance.uniform(0.5, 1.5))
            await self._rounds.go(self.sweep)

    async def sweep(self) -> None:
        """Go once through all that is due.

        Raises:
            StoreUnavailableError: Postgres or RabbitMQ is away; the rest waits for the next time.
        """
        # Asked before anything is taken: with RabbitMQ away, rings stay due and go out
        # as soon as it is back, instead of half a minute later.
        try:
            depth_messages = await self._bell.depth_messages()
        except StoreUnavailableError:
            # Needs no RabbitMQ. Not in a ``finally``: with Postgres away as well, its error
            # would take the place of a cancellation, and the process would never stop.
            await self._fail_exhausted()
            raise
        await self._fail_exhausted()
        for _ in range(_MAX_PAGES):
            due = await self._tasks.take_due_rings(
                limit=PAGE_RINGS, ring_after_seconds=self._ring_again_seconds
            )
            await self._ring(due, depth_messages)
            if len(due) < PAGE_RINGS:
                return
            depth_messages = await self._bell.depth_messages()

    async def _fail_exhausted(self) -> None:
        for _ in range(_MAX_PAGES):
            failed = await self._tasks.fail_exhausted(limit=PAGE_RINGS)
            for task_id in failed:
                _log.warning("task failed: its last worker was lost", task_id=task_id)
            if failed:
                self._announce()
            if len(failed) < PAGE_RINGS:
                return

    async def _ring(self, due: Sequence[DueRing], depth_messages: int) -> None:
        if not due:
            return
        load = await self._load.read()
        chosen = choose_rings(due, ready_tasks=load.ready_tasks, depth_messages=depth_messages)
        if chosen:
            await self._bell.ring([TaskEnvelope(task_id) for task_id in chosen])
            _log.info("rang again", count=len(chosen), due=len(due))
