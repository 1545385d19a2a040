"""Take deliveries from the broker, as many as there are free slots, and survive the broker.

What arrives while a claim is under way goes into the next one: batches grow by
themselves under load, and an idle worker claims a single message at once.

A worker that is busy for longer must not sit on messages that others could
run: after half a second without a free slot it stops consuming and puts back
what it holds. Short tasks never get there, so their throughput stays. A cordoned
worker stops at once, and goes on with what it runs.

Before: RabbitMQ rings the doorbell.
After: ``journeys`` has claims, each in a slot, and their messages are acked; bytes that are
no envelope are in the dead-letter queue.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from random import Random

import structlog

from orchestrator_core.amqp.consumer import Subscription, subscribed
from orchestrator_core.amqp.tap import Delivery
from orchestrator_core.attempts import Claim
from orchestrator_core.envelope import TaskEnvelope
from orchestrator_core.errors import NotAnEnvelopeError, StoreUnavailableError
from orchestrator_core.settings import AmqpSettings
from orchestrator_core.tasks import TaskId
from orchestrator_worker.backoff import Backoff
from orchestrator_worker.claiming import Claimer, Taken
from orchestrator_worker.slots import Slots
from orchestrator_worker.waiting import wait_first

PATIENCE_SECONDS = 0.5
"""With all slots busy for longer, messages are worth more to other workers."""

CHECK_SECONDS = 10.0
"""Between round trips that prove that the consumer still exists."""

STALL_SECONDS = 60.0
"""A sign of life is due every 10 s from a broker, every 15 s from an outage."""

Start = Callable[[Claim, Taken], None]
"""``Journeys.start``."""

_log = structlog.get_logger(__name__)


class Consuming:
    """Consumes until cancelled; an outage of RabbitMQ is waited out, never a reason to exit."""

    def __init__(  # noqa: PLR0913 - where messages come from and what becomes of them
        self,
        settings: AmqpSettings,
        slots: Slots,
        claimer: Claimer,
        start: Start,
        *,
        client: str,
        chance: Random,
    ) -> None:
        self._settings = settings
        self._slots = slots
        self._claimer = claimer
        self._start = start
        self._client = client
        self._backoff = Backoff(chance)
        self._sign_of_life_at = time.monotonic()
        self._open = asyncio.Event()
        self._open.set()
        self._stopped = asyncio.Event()
        self._subscription: Subscription | None = None
        self.is_subscribed = False
        """Whether the broker answers and messages may come."""
        self._is_paused = False
        """Waits for the end of a cordon, with no message at hand."""
        self.garbage_messages = 0
        """Messages that were no envelope, since the start."""

    @property
    def is_stalled(self) -> bool:
        """Whether this loop is neither served by the broker nor waiting for it."""
        return time.monotonic() - self._sign_of_life_at > STALL_SECONDS

    @property
    def is_resting(self) -> bool:
        """Whether a cordon holds and nothing is on its way into a slot any more.

        To be cordoned is not enough: a batch may be under way that was taken a moment before.
        """
        return not self._open.is_set() and (self._is_paused or not self.is_subscribed)

    def cordon(self, *, is_cordoned: bool) -> None:
        """Take no more messages, or take them again. What runs goes on."""
        if is_cordoned:
            self._open.clear()
        else:
            self._open.set()
        self._wake()

    def stop(self) -> None:
        """Take no more messages and let ``run`` end once what was taken is on its way."""
        self._stopped.set()
        self._claimer.stop()
        self._open.set()
        self._wake()

    async def run(self) -> None:
        """Consume until stopped or cancelled."""
        while not self._stopped.is_set():
            try:
                await self._consume()
            except* StoreUnavailableError as errors:
                _log.warning("broker_away", errors=[str(error) for error in errors.exceptions])
            self._live()
            if not self._stopped.is_set():
                await self._backoff.wait()

    async def _consume(self) -> None:
        try:
            async with (
                subscribed(self._settings, client=self._client) as subscription,
                asyncio.TaskGroup() as group,
            ):
                self._subscription = subscription
                self.is_subscribed = True
                self._live()
                self._backoff.reset()
                _log.info("consuming")
                checking = group.create_task(self._check(subscription))
                await self._serve(subscription)
                checking.cancel()
        finally:
            self.is_subscribed = self._is_paused = False
            self._subscription = None

    async def _check(self, subscription: Subscription) -> None:
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            await subscription.check()
            self._live()

    async def _serve(self, subscription: Subscription) -> None:
        while await self._await_turn(subscription):
            deliveries = await subscription.take(self._slots.free)
            self._live()
            if deliveries:
                await self._admit(subscription, deliveries)

    async def _await_turn(self, subscription: Subscription) -> bool:
        """Wait until there is a slot and no cordon, and let as many messages come as fit.

        Returns:
            False when the worker is to stop.
        """
        while not (self._stopped.is_set() or (self._open.is_set() and self._slots.free)):
            if not self._open.is_set():
                _log.info("cordoned", busy_slots=self._slots.busy)
                await subscription.pause()
                self._is_paused = True
                await self._open.wait()
                self._is_paused = False
                continue
            try:
                async with asyncio.timeout(PATIENCE_SECONDS):
                    await self._slots.wait_free()
            except TimeoutError:
                _log.debug("paused", busy_slots=self._slots.busy)
                await subscription.pause()
                await wait_first(self._slots.wait_free(), self._stopped.wait())
        if self._stopped.is_set():
            return False
        if is_too_narrow(subscription.prefetch_messages, free_slots=self._slots.free):
            await subscription.consume(prefetch_messages=self._slots.free)
        return True

    async def _admit(self, subscription: Subscription, deliveries: Sequence[Delivery]) -> None:
        """Claim for a batch of messages, end them, and send the claims on their way."""
        rung, task_ids, garbage = self._sort(deliveries)
        if garbage:
            await subscription.reject(garbage)
        if not rung:
            return
        self._slots.take(len(rung))
        begun_ns = time.time_ns()
        claims: list[Claim] = []
        try:
            async for won in self._claimer.claim(task_ids):
                claims += won
        except StoreUnavailableError as error:
            _log.warning("claim_given_up", count=len(rung), error=str(error))
            await subscription.put_back(rung)
        except Exception:  # noqa: BLE001 - one statement's fault must not end what runs
            # Put back, they would come again at once; the sweep rings again for their tasks.
            _log.exception("claim_broke", task_ids=task_ids)
            await subscription.reject(rung)
        else:
            # Without its channel a message comes again, and finds its task claimed.
            with contextlib.suppress(StoreUnavailableError):
                await subscription.ack(rung)
        finally:
            self._slots.give_back(len(rung) - len(claims))
            taken = Taken(begun_ns, time.time_ns())
            for claim in claims:
                self._start(claim, taken)

    def _sort(
        self, deliveries: Sequence[Delivery]
    ) -> tuple[list[Delivery], list[TaskId], list[Delivery]]:
        """Return the envelopes with their task ids, and what is no envelope."""
        rung: list[Delivery] = []
        task_ids: list[TaskId] = []
        garbage: list[Delivery] = []
        for delivery in deliveries:
            try:
                task_ids.append(TaskEnvelope.from_bytes(delivery.body).task_id)
            except NotAnEnvelopeError as error:
                self.garbage_messages += 1
                _log.warning("garbage_rejected", error=str(error), total=self.garbage_messages)
                garbage.append(delivery)
            else:
                rung.append(delivery)
        return rung, task_ids, garbage

    def _wake(self) -> None:
        if self._subscription is not None:
            self._subscription.wake()

    def _live(self) -> None:
        self._sign_of_life_at = time.monotonic()


def is_too_narrow(prefetch_messages: int, *, free_slots: int) -> bool:
    """Whether to consume anew with a wider prefetch.

    After a pause a consumer starts as narrow as the slots that are free, so that it
    takes no more than it can run. It is widened in leaps: each costs two round trips.
    """
    return free_slots >= max(1, 2 * prefetch_messages)
