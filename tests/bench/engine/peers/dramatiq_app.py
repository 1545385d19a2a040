"""Dramatiq, configured to lose nothing: quorum queue and confirms; it acknowledges late by design.

Before: ``workers`` start ``dramatiq``; ``producing`` opens the submitter.
After: rows are COMPLETED, messages acknowledged.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import dramatiq
from dramatiq.brokers.rabbitmq import RabbitmqBroker
from dramatiq.middleware import AgeLimit, Retries, ShutdownNotifications, TimeLimit

from tests.bench.engine.peers import blocking_rows
from tests.bench.engine.submitters import Submit, in_threads

QUEUE = "bench_dramatiq"


class QuorumBroker(RabbitmqBroker):
    """Declares quorum queues, which Dramatiq has no setting for."""

    def _build_queue_arguments(self, queue_name: str) -> dict[str, Any]:
        return {**super()._build_queue_arguments(queue_name), "x-queue-type": "quorum"}


broker = QuorumBroker(
    url=os.environ["RABBITMQ_URL"],
    confirm_delivery=True,
    middleware=[AgeLimit(), TimeLimit(), ShutdownNotifications(), Retries()],
)
dramatiq.set_broker(broker)


@dramatiq.actor(queue_name=QUEUE)
def noop(task_id: int) -> None:
    """Run a task."""
    blocking_rows.perform(task_id)


@asynccontextmanager
async def opened_submitter() -> AsyncIterator[Submit]:
    """Submit from threads, as a web service does."""

    def submit() -> int:
        task_id = blocking_rows.insert()
        noop.send(task_id)
        return task_id

    async with in_threads(submit) as submitter:
        yield submitter
