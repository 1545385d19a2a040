"""What Postgres and RabbitMQ hold when all has come to an end.

Before: a trial is over and its load has ended.
After: ``invariants`` holds it against the ledger.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import aio_pika
import asyncpg

from invariants import EventRow, TaskRow
from orchestrator_core.settings import AmqpSettings, PostgresSettings
from orchestrator_core.topology import DEAD_QUEUE, TASK_QUEUE

FoundT = TypeVar("FoundT")

PATIENCE_SECONDS = 60.0
"""Far above what anything here takes; a slow machine must not fail a trial."""

_TASKS = """SELECT id, status::text, epoch, attempts, max_attempts, last_event, error_code
FROM tasks WHERE user_id = ANY($1)"""
_EVENTS = """SELECT e.task_id, e.seq, e.epoch, e.status::text, e.kind
FROM task_events e JOIN tasks t ON t.id = e.task_id WHERE t.user_id = ANY($1)
ORDER BY e.task_id, e.seq"""
_RESULTS = """SELECT r.task_id, r.epoch
FROM task_results r JOIN tasks t ON t.id = r.task_id WHERE t.user_id = ANY($1)"""
_KEYS = "SELECT key, task_ids FROM idempotency_keys WHERE user_id = ANY($1)"
_LIVE = """SELECT count(*) FROM live_tasks l JOIN tasks t ON t.id = l.task_id
WHERE t.user_id = ANY($1)"""
_CHANGED_EVENTS = """SELECT coalesce(sum(n_tup_upd + n_tup_del), 0)
FROM pg_stat_user_tables WHERE relname = 'task_events'"""
_IDLE_TRANSACTIONS = """SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND state LIKE 'idle in transaction%'
AND state_change < now() - interval '1 second'"""


@dataclass(frozen=True)
class Witness:
    """Looks at the stores past every proxy."""

    postgres: PostgresSettings
    amqp: AmqpSettings

    def rows(self, query: str, *arguments: object) -> list[Any]:
        async def fetch() -> list[Any]:
            connection = await asyncpg.connect(
                host=self.postgres.host,
                port=self.postgres.port,
                user=self.postgres.user,
                password=self.postgres.password.get_secret_value(),
                database=self.postgres.database,
            )
            try:
                return list(await connection.fetch(query, *arguments))
            finally:
                await connection.close()

        return asyncio.run(fetch())

    def value(self, query: str, *arguments: object) -> Any:
        [[value]] = self.rows(query, *arguments)
        return value

    def count_keys(self, keys: Collection[str]) -> int:
        """Return how many of the keys are known."""
        query = "SELECT count(*) FROM idempotency_keys WHERE key = ANY($1)"
        return int(self.value(query, list(keys)))

    def await_end(self, user_ids: Collection[int]) -> None:
        """Wait until nothing of these users' is live and nothing waits in the queue."""
        ids = list(user_ids)
        until(lambda: self.value(_LIVE, ids) == 0, what="every task to end")
        until(lambda: self.depth(TASK_QUEUE) == 0, what="the queue to be empty")
        until(lambda: self.value(_IDLE_TRANSACTIONS) == 0, what="transactions to end")

    def read(self, user_ids: Collection[int]) -> Mapping[str, Any]:
        """Return the fields of ``Evidence`` that the stores tell."""
        ids = list(user_ids)
        events: dict[int, list[EventRow]] = defaultdict(list)
        for row in self.rows(_EVENTS, ids):
            events[row["task_id"]].append(EventRow(**row))
        return {
            "tasks": {row["id"]: TaskRow(**row) for row in self.rows(_TASKS, ids)},
            "events": events,
            "results": [(row["task_id"], row["epoch"]) for row in self.rows(_RESULTS, ids)],
            "leases": self._live_tasks("lease_token IS NOT NULL"),
            "live": self._live_tasks("true"),
            "keys": {row["key"]: row["task_ids"] for row in self.rows(_KEYS, ids)},
            "changed_events": int(self.value(_CHANGED_EVENTS)),
            "idle_transactions": int(self.value(_IDLE_TRANSACTIONS)),
            "ready_messages": self.depth(TASK_QUEUE),
            "dead_messages": self.depth(DEAD_QUEUE),
        }

    def depth(self, queue: str) -> int:
        """Return how many messages wait."""

        async def ask() -> int:
            connection = await aio_pika.connect(self.amqp.url.get_secret_value(), timeout=10)
            async with connection:
                channel = await connection.channel()
                declared = await channel.declare_queue(queue, passive=True, timeout=10)
                return declared.declaration_result.message_count or 0

        return asyncio.run(ask())

    def _live_tasks(self, condition: str) -> list[int]:
        query = f"SELECT task_id FROM live_tasks WHERE {condition}"  # noqa: S608 - as above
        return [row["task_id"] for row in self.rows(query)]


def until(
    look: Callable[[], FoundT | None], *, what: str, seconds: float = PATIENCE_SECONDS
) -> FoundT:
    """Look again and again until there is something; return it."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, f"after {seconds:g} s still waiting for {what}"
        time.sleep(0.05)
    return found
