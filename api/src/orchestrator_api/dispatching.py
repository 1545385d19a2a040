"""Ring the doorbell: at once for fresh tasks, and again for whatever is still due.

Two ways lead to a ring. ``FirstRings`` publishes right after a commit, without
anybody waiting for it; what it can't publish it forgets. ``Sweep`` reads from
Postgres what is due, unclaimed and not lately rung, and so repairs everything:
an API that died between commit and publish, a wiped broker, retries whose time
has come, leases of lost workers. It runs in every replica; taking a ring is one
statement that skips what another replica has locked.

What became due rings, always. What has rung is repeated only when fewer messages
wait than tasks: a message brings whatever task waits, so their number is enough.
Behind more than 20,000 messages nobody counts; there, a task that others have
overtaken is the one whose message was lost.

Before: ``tasks.keeping`` has committed rows; ``live_tasks`` says what is due.
After: workers get envelopes and claim the rows.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from random import Random
from typing import NamedTuple, Protocol

import structlog
from opentelemetry.trace import SpanKind

from orchestrator_api.metrics import RingMetrics, RingReason
from orchestrator_api.rounds import Rounds
from orchestrator_api.sparing import Sparing
from orchestrator_core.batching import Batcher
from orchestrator_core.envelope import TaskEnvelope
from orchestrator_core.errors import StoreUnavailableError
from orchestrator_core.spans import is_exporting, spans_of
from orchestrator_core.tasks import TaskId
from orchestrator_core.topology import TASK_QUEUE

PUBLISH = f"publish {TASK_QUEUE}"
SWEEP_SECONDS = 1.0
PAGE_RINGS = 500
"""One statement and one batch of confirms; some 50 ms."""
_MAX_PAGES = 20
"""Of one sweep; what is more goes on with the next, a second later."""
MAX_COUNTED = 20_000
"""As many messages keep every pool busy; to count more would take long and change nothing."""
MAX_OVERTAKEN = 100
"""Of one sweep; all that a deep backlog whose messages wait may cost in writes."""
OVERTAKEN_SECONDS = 60.0
"""Messages are delivered in order, but for batches and rings that were a sweep late."""
OVERTAKEN_SILENT_SECONDS = 300.0
"""Its new message went to the end of a deep queue; sooner would pile up messages."""
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


class _Fresh(NamedTuple):
    """A task that was committed just now."""

    envelope: TaskEnvelope
    trace_context: str


class FirstRings:
    """Rings for tasks that were committed just now. May forget any of them."""

    def __init__(self, bell: Bell, counting: RingMetrics) -> None:
        self._bell = bell
        self._counting = counting
        self._silent_until = 0.0
        self._batcher: Batcher[_Fresh, None] = Batcher(
            "first rings", self._ring, max_batch=256, max_waiting=_MAX_WAITING_RINGS
        )

    def offer(self, task_ids: Iterable[TaskId], *, trace_context: str) -> None:
        """Ring for ``task_ids``, which came with one request, soon, without waiting."""
        forgotten = sum(
            not self._batcher.offer(_Fresh(TaskEnvelope(each), trace_context)) for each in task_ids
        )
        if forgotten:
            self._leave(forgotten, reason="queue full")

    async def drain(self) -> None:
        """Wait until nothing is left to ring. ``run`` must be running."""
        await self._batcher.drain()

    async def run(self) -> None:
        """Ring until cancelled."""
        await self._batcher.run()

    async def _ring(self, fresh: Sequence[_Fresh]) -> list[None]:
        clock = asyncio.get_running_loop().time
        if clock() < self._silent_until:
            self._leave(len(fresh), reason="pause")
        else:
            # Looked at only where somebody traces.
            traces = (each.trace_context for each in fresh)
            try:
                with spans_of(traces, PUBLISH, kind=SpanKind.PRODUCER):
                    await self._bell.ring([each.envelope for each in fresh])
            except StoreUnavailableError as error:
                self._silent_until = clock() + _PAUSE_SECONDS
                self._leave(len(fresh), reason=str(error))
            else:
                self._counting.count_rung(len(fresh), "fresh")
        return [None] * len(fresh)

    def _leave(self, count: int, *, reason: str) -> None:
        self._counting.count_left(count)
        _log.debug("first rings left to the sweep", count=count, reason=reason)


class Rings(Protocol):
    """What is needed of a ring store. All raise ``StoreUnavailableError``."""

    async def fail_exhausted(self, *, limit: int) -> Sequence[TaskId]:
        """End tasks that lost the lease of their last attempt; return them."""

    async def take_first_rings(
        self, *, limit: int, ring_after_seconds: float, spare_leases: bool
    ) -> Sequence[TaskId]:
        """Take what has not rung since it became due or, unless spared, lost its lease."""

    async def has_due_repeats(self) -> bool:
        """Return whether anything waits that rang so long ago that it might ring again."""

    async def count_waiting(self, *, limit: int) -> int:
        """Return how many tasks are due and held by nobody, up to ``limit``."""

    async def take_repeats(self, *, limit: int, ring_after_seconds: float) -> Sequence[TaskId]:
        """Take what waits and rang long ago."""

    async def take_overtaken(
        self, *, limit: int, ring_after_seconds: float, by_seconds: float, silent_seconds: float
    ) -> Sequence[TaskId]:
        """Take what waits while tasks of its priority run that became due later."""

    async def find_trace_contexts(self, task_ids: Sequence[TaskId]) -> Sequence[str]:
        """Return the trace contexts of tasks, in no order."""


class Sweep:
    """Rings again whatever is due, and ends what has no attempt left."""

    def __init__(  # noqa: PLR0913 - stores, and who is told
        self,
        rings: Rings,
        bell: Bell,
        counting: RingMetrics,
        *,
        sparing: Sparing,
        chance: Random,
        ring_again_seconds: float,
        announce: Callable[[], None] = lambda: None,
    ) -> None:
        """Take the stores.

        Args:
            rings: knows what is due.
            bell: to ring.
            counting: told of sweeps and rings.
            sparing: whether leases that ran out are left alone; told how Postgres answers.
            chance: keeps replicas apart.
            ring_again_seconds: until a ring that led to nothing is repeated.
            announce: called when tasks were ended, for those who follow them.
        """
        self._rings = rings
        self._bell = bell
        self._counting = counting
        self._sparing = sparing
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
        try:
            await self._go_through()
        except StoreUnavailableError as error:
            if error.store == "postgres":
                self._sparing.note_silence()
            self._counting.count_sweep("store_away")
            raise
        except Exception:
            self._counting.count_sweep("failed")
            raise
        self._counting.count_sweep("done")

    async def _go_through(self) -> None:
        # Asked before anything is taken: with RabbitMQ away, rings stay due and go out
        # as soon as it is back, instead of half a minute later.
        try:
            depth_messages = await self._bell.depth_messages()
        except StoreUnavailableError:
            # Needs no RabbitMQ. Not in a ``finally``: with Postgres away as well, its error
            # would take the place of a cancellation, and the process would never stop.
            await self._end_lost()
            raise
        await self._end_lost()
        depth_messages += await self._ring_first()
        if await self._rings.has_due_repeats():
            await self._repeat(depth_messages)

    async def _end_lost(self) -> None:
        """End what has no attempt left, unless it is spared; ask Postgres in any case."""
        if self._sparing.is_on:
            # Only whether there is an answer: without RabbitMQ nothing else would ask.
            await self._rings.has_due_repeats()
        else:
            await self._fail_exhausted()
        self._sparing.note_answer()

    async def _fail_exhausted(self) -> None:
        for _ in range(_MAX_PAGES):
            failed = await self._rings.fail_exhausted(limit=PAGE_RINGS)
            for task_id in failed:
                _log.warning("task failed: its last worker was lost", task_id=task_id)
            if failed:
                self._counting.count_lost(len(failed))
                self._announce()
            if len(failed) < PAGE_RINGS:
                return

    async def _ring_first(self) -> int:
        """Ring for what has not rung since it became due; return for how many tasks."""
        rung = 0
        for _ in range(_MAX_PAGES):
            due = await self._rings.take_first_rings(
                limit=PAGE_RINGS,
                ring_after_seconds=self._ring_again_seconds,
                spare_leases=self._sparing.is_on,
            )
            rung += await self._ring(due, reason="due")
            if len(due) < PAGE_RINGS:
                break
        return rung

    async def _repeat(self, depth_messages: int) -> None:
        """Make up for messages that were lost.

        What has rung is most likely waiting behind others, and since a message brings any task
        that waits, only their number counts. Rewriting every waiting row each half minute was
        the alternative: of a deep backlog that is all that Postgres would do.
        """
        waiting = await self._rings.count_waiting(limit=MAX_COUNTED)
        missing = min(waiting - depth_messages, _MAX_PAGES * PAGE_RINGS)
        while missing > 0:
            limit = min(missing, PAGE_RINGS)
            due = await self._rings.take_repeats(
                limit=limit, ring_after_seconds=self._ring_again_seconds
            )
            missing -= await self._ring(due, reason="missing")
            if len(due) < limit:
                return
        if MAX_COUNTED <= waiting <= depth_messages:
            overtaken = await self._rings.take_overtaken(
                limit=MAX_OVERTAKEN,
                ring_after_seconds=self._ring_again_seconds,
                by_seconds=OVERTAKEN_SECONDS,
                silent_seconds=OVERTAKEN_SILENT_SECONDS,
            )
            await self._ring(overtaken, reason="overtaken")

    async def _ring(self, task_ids: Sequence[TaskId], *, reason: RingReason) -> int:
        if task_ids:
            with spans_of(await self._find_traces(task_ids), PUBLISH, kind=SpanKind.PRODUCER):
                await self._bell.ring([TaskEnvelope(task_id) for task_id in task_ids])
            self._counting.count_rung(len(task_ids), reason)
            _log.info("rang again", count=len(task_ids), reason=reason)
        return len(task_ids)

    async def _find_traces(self, task_ids: Sequence[TaskId]) -> Sequence[str]:
        if not is_exporting():
            return ()
        try:
            return await self._rings.find_trace_contexts(task_ids)
        except StoreUnavailableError:
            # What was taken has to ring now, seen or not.
            return ()
