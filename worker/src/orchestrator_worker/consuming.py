"""Take deliveries from the broker, one for each free slot, and survive the broker.

A worker that is busy for longer must not sit on messages that others could
run: after half a second without a free slot it stops consuming and puts back
what it holds. Short tasks never get there, so their throughput stays.

Before: RabbitMQ rings the doorbell.
After: ``journeys`` has an envelope's task id; bytes that are no envelope are in the
dead-letter queue.
"""

import asyncio
import time
from collections.abc import Callable
from random import Random

import structlog

from orchestrator_core.amqp.consumer import Delivery, Subscription, subscribed
from orchestrator_core.envelope import TaskEnvelope
from orchestrator_core.errors import NotAnEnvelopeError, StoreUnavailableError
from orchestrator_core.settings import AmqpSettings
from orchestrator_core.tasks import TaskId
from orchestrator_worker.backoff import Backoff
from orchestrator_worker.slots import Slots

PATIENCE_SECONDS = 0.5
"""With all slots busy for longer, messages are worth more to other workers."""

CHECK_SECONDS = 10.0
"""Between round trips that prove that the consumer still exists."""

STALL_SECONDS = 60.0
"""A sign of life is due every 10 s from a broker, every 15 s from an outage."""

Start = Callable[[TaskId, Delivery], None]
"""``Journeys.start``."""

_log = structlog.get_logger(__name__)


class Consuming:
    """Consumes until cancelled; an outage of RabbitMQ is waited out, never a reason to exit."""

    def __init__(
        self, settings: AmqpSettings, slots: Slots, start: Start, *, client: str, chance: Random
    ) -> None:
        self._settings = settings
        self._slots = slots
        self._start = start
        self._client = client
        self._backoff = Backoff(chance)
        self._sign_of_life_at = time.monotonic()
        self.is_subscribed = False
        """Whether the broker answers and messages may come."""
        self.garbage_messages = 0
        """Messages that were no envelope, since the start."""

    @property
    def is_stalled(self) -> bool:
        """Whether this loop is neither served by the broker nor waiting for it."""
        return time.monotonic() - self._sign_of_life_at > STALL_SECONDS

    async def run(self) -> None:
        """Consume until cancelled."""
        while True:
            try:
                await self._consume()
            except* StoreUnavailableError as errors:
                _log.warning("broker_away", errors=[str(error) for error in errors.exceptions])
            self._live()
            await self._backoff.wait()

    async def _consume(self) -> None:
        try:
            async with (
                subscribed(self._settings, client=self._client) as subscription,
                asyncio.TaskGroup() as group,
            ):
                await subscription.consume(prefetch_messages=self._slots.total)
                self.is_subscribed = True
                self._live()
                self._backoff.reset()
                _log.info("consuming")
                group.create_task(self._check(subscription))
                await self._take_deliveries(subscription)
        finally:
            self.is_subscribed = False

    async def _check(self, subscription: Subscription) -> None:
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            await subscription.check()
            self._live()

    async def _take_deliveries(self, subscription: Subscription) -> None:
        while True:
            await self._take_slot(subscription)
            try:
                task_id, delivery = await self._next(subscription)
            except BaseException:
                self._slots.give_back()
                raise
            self._start(task_id, delivery)

    async def _take_slot(self, subscription: Subscription) -> None:
        """Take a slot and see that as many messages may come as there are free slots."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await self._slots.take()
        except TimeoutError:
            _log.debug("paused", busy_slots=self._slots.busy)
            await subscription.pause()
            await self._slots.take()
        free = self._slots.free + 1
        if is_too_narrow(subscription.prefetch_messages, free_slots=free):
            try:
                await subscription.consume(prefetch_messages=free)
            except BaseException:
                self._slots.give_back()
                raise

    async def _next(self, subscription: Subscription) -> tuple[TaskId, Delivery]:
        """Return the next delivery that is an envelope."""
        while True:
            delivery = await subscription.next()
            self._live()
            try:
                return TaskEnvelope.from_bytes(delivery.body).task_id, delivery
            except NotAnEnvelopeError as error:
                self.garbage_messages += 1
                _log.warning("garbage_rejected", error=str(error), total=self.garbage_messages)
                await delivery.reject()

    def _live(self) -> None:
        self._sign_of_life_at = time.monotonic()


def is_too_narrow(prefetch_messages: int, *, free_slots: int) -> bool:
    """Whether to consume anew with a wider prefetch.

    After a pause a consumer starts as narrow as the slots that are free, so that it
    takes no more than it can run. It is widened in leaps: each costs two round trips.
    """
    return free_slots >= max(1, 2 * prefetch_messages)
