"""Celery, configured to lose nothing: quorum queue, confirms, late acknowledgement.

The task itself keeps its row, so there is no result backend. Prefetching 64 per child is what its
documentation advises for short tasks.

Before: ``workers`` start ``celery worker``; ``producing`` opens the submitter.
After: rows are COMPLETED, messages acknowledged.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from celery import Celery

from tests.bench.engine.peers import blocking_rows
from tests.bench.engine.submitters import Submit, in_threads

QUEUE = "bench_celery"

app = Celery("bench")
app.conf.update(
    broker_url=os.environ["RABBITMQ_URL"],
    broker_transport_options={"confirm_publish": True},
    broker_connection_retry_on_startup=True,
    task_default_queue=QUEUE,
    task_default_queue_type="quorum",
    task_default_exchange_type="topic",
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_acks_on_failure_or_timeout=True,
    worker_prefetch_multiplier=64,
    task_ignore_result=True,
    task_serializer="json",
    worker_send_task_events=False,
    task_send_sent_event=False,
    worker_hijack_root_logger=False,
)


@app.task(name="noop")
def noop(task_id: int) -> None:
    """Run a task."""
    blocking_rows.perform(task_id)


@asynccontextmanager
async def opened_submitter() -> AsyncIterator[Submit]:
    """Submit from threads, as a web service does."""

    def submit() -> int:
        task_id = blocking_rows.insert()
        noop.delay(task_id)
        return task_id

    async with in_threads(submit) as submitter:
        yield submitter
