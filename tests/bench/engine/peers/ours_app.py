"""Submit to us: rows of many clients in one transaction, rung for afterwards, as the API does.

Before: ``producing`` has the stores' settings in its environment.
After: the rows are committed when ``submit`` returns; the rings follow without it.
"""

import asyncio
import os
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import asyncpg

from orchestrator_core.amqp.doorbell import Doorbell
from orchestrator_core.batching import Batcher
from orchestrator_core.envelope import TaskEnvelope
from orchestrator_core.postgres.database import Database
from orchestrator_core.postgres.submission_store import SubmissionStore
from orchestrator_core.settings import AmqpSettings, PostgresSettings, read_settings
from orchestrator_core.submissions import Kept, Submission, Verdict
from orchestrator_core.tasks import NewTask, TaskId, UserId
from orchestrator_core.tracing import to_trace_context
from tests.bench.engine.contract import PAYLOAD, TASK_TYPE
from tests.bench.engine.submitters import Submit

_MAX_BATCH = 128
"""As in the API's ``tasks.keeping``."""
_MAX_WAITING = 100_000
_RING_AFTER_SECONDS = 10.0
_SAMPLING_RATIO = float(os.environ.get("OTEL_TRACES_SAMPLER_ARG", "0"))


@asynccontextmanager
async def opened_submitter() -> AsyncIterator[Submit]:
    """Open the stores."""
    doorbell = Doorbell(read_settings(AmqpSettings))
    user_id = await _make_user()

    async def ring(task_ids: Sequence[TaskId]) -> Sequence[None]:
        await doorbell.ring([TaskEnvelope(each) for each in task_ids])
        return [None] * len(task_ids)

    rings = Batcher("rings", ring, max_batch=_MAX_BATCH, max_waiting=_MAX_WAITING)
    async with Database.open(
        read_settings(PostgresSettings), application="bench-producer", max_connections=2
    ) as database:
        store = SubmissionStore(database)

        async def keep(submissions: Sequence[Submission]) -> Sequence[Verdict]:
            verdicts = await store.keep(submissions, ring_after_seconds=_RING_AFTER_SECONDS)
            for verdict in verdicts:
                assert isinstance(verdict, Kept)
                for task_id in verdict.due_ids:
                    rings.offer(task_id)
            return verdicts

        keeper = Batcher("tasks", keep, max_batch=_MAX_BATCH, max_waiting=_MAX_WAITING)
        running = [asyncio.create_task(each.run()) for each in (keeper, rings)]

        async def submit() -> int:
            verdict = await keeper.submit(Submission([_a_task(user_id)]))
            assert isinstance(verdict, Kept)
            return verdict.task_ids[0]

        yield submit
        await rings.drain()
        for each in running:
            each.cancel()
    await doorbell.close()


def _a_task(user_id: UserId) -> NewTask:
    return NewTask(
        user_id=user_id,
        task_type=TASK_TYPE,
        payload=PAYLOAD,
        max_attempts=5,
        timeout_seconds=60,
        trace_context=_a_trace_context(),
    )


def _a_trace_context() -> str:
    """Return a new trace, sampled as often as the API would."""
    context = to_trace_context(None)
    is_wanted = random.random() < _SAMPLING_RATIO
    return f"{context[:-2]}01" if is_wanted else context


async def _make_user() -> UserId:
    connection = await asyncpg.connect(os.environ["DATABASE_URL"])
    try:
        return UserId(
            await connection.fetchval(
                "INSERT INTO users (username, password_hash)"
                " VALUES ('bench-' || gen_random_uuid(), 'unused') RETURNING id"
            )
        )
    finally:
        await connection.close()
