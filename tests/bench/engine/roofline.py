"""What the servers and the thinnest client need for a task: the bound that no engine passes here.

A raw connection runs our own statements in full batches, with nothing between them; a raw socket
takes the messages. Cores divided by the CPU time of both, clients included, is the most tasks per
second this machine can complete in this contract with these servers.

Before: ``running`` begins with it.
After: every rate is told as a part of it.
"""

import asyncio
import hashlib
import re
import subprocess
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import asyncpg

import services
from orchestrator_core.postgres.queries import load_statements
from orchestrator_core.postgres.task_store import MAX_FREE_HANDBACKS
from tests.bench.cpu_times import read_cpu_seconds
from tests.bench.engine.contract import RESULT
from tests.bench.engine.figures import Roofline
from tests.bench.engine.kept import Kept
from tests.bench.engine.scenarios import Place
from tests.bench.engine.thin_amqp import take_all
from tests.bench.engine.workers import run_producer
from tests.bench.wrk import BenchError

_BATCH = 100
_LEASE_SECONDS = 600.0
_FSYNC = re.compile(r"^\s*fdatasync\s+[\d.]+ ops/sec\s+(\d+) usecs/op", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class _Meter:
    """CPU time of one server and of this process."""

    server_pid: int
    server_seconds: float
    client_seconds: float

    @classmethod
    def start(cls, server_pid: int) -> "_Meter":
        return cls(server_pid, _read(server_pid), time.process_time())

    def read_us(self, tasks: int) -> tuple[float, float]:
        """Return microseconds per task: the server's, the client's."""
        server = _read(self.server_pid) - self.server_seconds
        client = time.process_time() - self.client_seconds
        return server / tasks * 1e6, client / tasks * 1e6


def _read(pid: int) -> float:
    return read_cpu_seconds({"it": pid})["it"]


async def measure_roofline(place: Place, *, tasks: int, cores: int) -> Roofline:
    """Measure with tasks of our own in empty tables.

    Raises:
        BenchError: not every task could be claimed and settled.
    """
    servers = place.addresses.servers
    async with Kept.open(place.system, place.addresses) as kept:
        await kept.clear()
        await kept.declare()
        await run_producer(place.system, place.addresses, place.folder, "--tasks", str(tasks))
        await kept.analyze()
        meter = _Meter.start(servers.rabbitmq.process.pid)
        await asyncio.to_thread(
            take_all, place.addresses.amqp_url, place.system.queue, messages=tasks
        )
        rabbitmq_us, amqp_client_us = meter.read_us(tasks)
        meter = _Meter.start(servers.postgres.process.pid)
        settled = await _claim_and_settle(place.addresses.postgres_url, tasks)
        postgres_us, postgres_client_us = meter.read_us(tasks)
        await kept.clear()
    if settled != tasks:
        raise BenchError(f"roofline: settled {settled} of {tasks} tasks")
    return Roofline(
        cores=cores,
        cpu_us={
            "postgres": postgres_us,
            "postgres client": postgres_client_us,
            "rabbitmq": rabbitmq_us,
            "rabbitmq client": amqp_client_us,
        },
        fsync_us=await asyncio.to_thread(measure_fsync, servers.postgres.home),
    )


async def _claim_and_settle(url: str, tasks: int) -> int:
    statements = load_statements("attempts")
    connection = await asyncpg.connect(url)
    try:
        ids = [row["id"] for row in await connection.fetch("SELECT id FROM tasks ORDER BY id")]
        claim = await connection.prepare(statements["claim_tasks"])
        settle = await connection.prepare(statements["settle_attempts"])
        worker_id, digest, settled = uuid.uuid4(), hashlib.sha256(RESULT).digest(), 0
        for first in range(0, tasks, _BATCH):
            claims = await claim.fetch(ids[first : first + _BATCH], worker_id, _LEASE_SECONDS)
            columns = _to_columns(claims, digest)
            settled += len(await settle.fetch(*columns, MAX_FREE_HANDBACKS))
    finally:
        await connection.close()
    return settled


def _to_columns(claims: Sequence[asyncpg.Record], digest: bytes) -> list[list[object]]:
    count = len(claims)
    same = ("COMPLETED", None, None, 0.0, "noop.txt", "text/plain", RESULT, digest)
    return [
        [claim["task_id"] for claim in claims],
        [claim["epoch"] for claim in claims],
        [claim["lease_token"] for claim in claims],
        *([value] * count for value in same),
    ]


def measure_fsync(home: Path) -> float:
    """Return microseconds that the disk takes for one fdatasync, as Postgres's own tool says."""
    folders = sorted((str(p) for p in Path("/usr/lib/postgresql").glob("*/bin")), reverse=True)
    ended = subprocess.run(
        [
            services.find_program("pg_test_fsync", *folders),
            "--secs-per-test=1",
            f"--filename={home / 'fsync-test'}",
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    found = _FSYNC.search(ended.stdout)
    if found is None:
        raise BenchError(f"expected a line about fdatasync, pg_test_fsync wrote: {ended.stdout}")
    return float(found[1])
