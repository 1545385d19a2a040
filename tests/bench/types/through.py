"""The same case through the platform: one worker over real Postgres and RabbitMQ.

Before: ``cli`` has servers and knows how often to run the case.
After: how many tasks ended a second while all slots were busy.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from orchestrator_core.postgres.account_store import AccountStore
from orchestrator_core.postgres.database import Database
from orchestrator_core.settings import AmqpSettings
from orchestrator_core.tasks import TaskId
from own_stores import settings_of
from tests.bench.stores import Addresses, Servers, make_database, make_vhost
from tests.bench.types.cases import FILE_ID, Case
from tests.bench.wrk import BenchError
from worker_bench import Bench, opened_bench

NAME = "types"
MIGRATIONS = Path(__file__).parents[3] / "migrations"
LONGEST_SECONDS = 300.0
EDGE = 4
WARM_UPS = 3 * EDGE
ENDS = """
SELECT status::text, error_message, extract(epoch FROM started_at)::float8 AS started,
       extract(epoch FROM finished_at)::float8 AS finished
FROM tasks WHERE id = ANY($1::bigint[]) ORDER BY finished_at
"""
UNFINISHED = (
    "SELECT count(*) AS tasks FROM tasks WHERE id = ANY($1::bigint[]) AND finished_at IS NULL"
)
LEASE_SECONDS = 30
LOOK_SECONDS = 0.1


@asynccontextmanager
async def platform(servers: Servers, folder: Path, *, slots: int) -> AsyncIterator[Bench]:
    """Open a database and a virtual host with one worker that is warm."""
    addresses = Addresses(servers=servers, name=NAME, redis_database=0)
    await make_database(addresses, *sorted(MIGRATIONS.glob("*.up.sql")))
    make_vhost(addresses, None)
    postgres = settings_of(servers.postgres.port, NAME)
    amqp = AmqpSettings(RABBITMQ_URL=addresses.amqp_url)
    async with Database.open(postgres, application="bench", max_connections=4) as database:
        user_id = await AccountStore(database).insert("ada", "hash")
        async with opened_bench(database, postgres, amqp, folder, user_id) as bench:
            worker = await bench.start_worker(CONCURRENCY=slots, LEASE_SECONDS=LEASE_SECONDS)
            await worker.ready()
            yield bench


async def measure(bench: Bench, case: Case, *, count: int) -> float:
    """Return how many of ``count`` tasks ended a second.

    Raises:
        BenchError: one of them did not complete.
    """
    payload = case.payload_for(await _upload(bench, case.file))
    await _run(bench, case, payload, WARM_UPS)
    return await _run(bench, case, payload, count)


async def _run(bench: Bench, case: Case, payload: dict[str, object], count: int) -> float:
    tasks = [
        bench.a_task(case.task_type, payload, timeout_seconds=int(LONGEST_SECONDS))
        for _ in range(count)
    ]
    ids = await bench.submit_all(tasks)
    async with asyncio.timeout(LONGEST_SECONDS):
        await _await_end(bench, ids)
    rows = await bench.rows(ENDS, ids)
    failed = [row["error_message"] for row in rows if row["status"] != "COMPLETED"]
    if failed:
        raise BenchError(f"{case.name}: {len(failed)} of {count} failed: {failed[0]}")
    # The first tasks start together, and at the end slots run dry: neither is what is asked.
    ends = [row["finished"] for row in rows][EDGE:-EDGE]
    rate: float = (len(ends) - 1) / (ends[-1] - ends[0])
    return rate


async def _await_end(bench: Bench, ids: list[TaskId]) -> None:
    unfinished = count = len(ids)
    while unfinished:
        # Seldom, and of all at once: who looks must not take what is measured.
        await asyncio.sleep(LOOK_SECONDS)
        [row] = await bench.rows(UNFINISHED, ids)
        unfinished = min(count, row["tasks"])


async def _upload(bench: Bench, path: Path | None) -> int:
    if path is None:
        return FILE_ID
    return await bench.upload(await asyncio.to_thread(path.read_bytes), path.name)
