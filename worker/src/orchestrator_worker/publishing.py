"""Publish the catalogue of task types, so that the API can validate payloads.

A worker does it at its start; the operator's migration Job does it too, so the
API knows every type before the first worker exists.

Before: ``discover_handlers`` found what is installed.
After: the API reads the types from Postgres.
"""

import asyncio
import json
from collections.abc import Iterable
from random import Random

import structlog

from orchestrator_core.errors import StoreUnavailableError
from orchestrator_core.handlers import Handler
from orchestrator_core.postgres.worker_store import TaskType, WorkerStore
from orchestrator_worker.backoff import Backoff

_log = structlog.get_logger(__name__)


def to_task_type(handler: Handler) -> TaskType:
    """Return what the API must know of a handler."""
    return TaskType(
        name=handler.task_type,
        payload_schema=json.dumps(handler.payload.model_json_schema(mode="validation")),
        timeout_seconds=handler.timeout_seconds,
        max_attempts=handler.max_attempts,
    )


async def publish(
    store: WorkerStore, handlers: Iterable[Handler], *, budget_seconds: float | None, chance: Random
) -> None:
    """Publish all types, trying again while Postgres or its schema is not there yet.

    Args:
        store: where they go.
        handlers: their types.
        budget_seconds: give up after that long; None to go on until cancelled.
        chance: of the waits between tries.

    Raises:
        StoreUnavailableError: the budget is used up.
    """
    types = [to_task_type(handler) for handler in handlers]
    backoff = Backoff(chance)
    clock = asyncio.get_running_loop().time
    started_at = clock()
    while True:
        try:
            await store.publish_types(types)
        except StoreUnavailableError as error:
            if budget_seconds is not None and clock() - started_at > budget_seconds:
                raise
            _log.warning("types_not_published_yet", error=str(error))
        else:
            _log.info("types_published", types=sorted(each.name for each in types))
            return
        await backoff.wait()
