"""A bench for whole workers: real processes over real Postgres and RabbitMQ.

Before: the fixtures of ``worker/conftest.py`` have made a database and a virtual host.
After: a test submits tasks, starts and harms workers, and reads what Postgres says.
"""

import asyncio
import contextlib
import json
import os
import signal
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

from kept_tasks import keep_tasks
from orchestrator_core.amqp.doorbell import Doorbell
from orchestrator_core.envelope import TaskEnvelope
from orchestrator_core.errors import StoreUnavailableError
from orchestrator_core.files import PIECE_BYTES, FileId, NewUpload, UploadRules
from orchestrator_core.postgres.database import Database
from orchestrator_core.postgres.file_store import PostgresUploadStore
from orchestrator_core.postgres.ring_store import RingStore
from orchestrator_core.postgres.task_store import TaskStore
from orchestrator_core.settings import AmqpSettings, PostgresSettings, S3Settings
from orchestrator_core.tasks import NewTask, Task, TaskId, UserId
from orchestrator_core.tracing import to_trace_context
from own_stores import s3_environment_of
from services import free_port

PATIENCE_SECONDS = 60.0
"""Far above what anything here takes; a slow machine must not fail a test."""

LEASE_SECONDS = 1.0
RING_AGAIN_SECONDS = 1.0

T = TypeVar("T")


async def until(look: Callable[[], Awaitable[T | None]], *, within: float = PATIENCE_SECONDS) -> T:
    """Look again and again until there is something."""
    async with asyncio.timeout(within):
        while True:
            found = await look()
            if found is not None and found is not False:
                return found
            await asyncio.sleep(0.05)


def descendants(pid: int) -> set[int]:
    """Return the processes below ``pid``."""
    found: set[int] = set()
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            for child in map(int, children.read_text(encoding="ascii").split()):
                found |= {child} | descendants(child)
    return found


def state_of(pid: int) -> str | None:
    """Return the kernel's letter for the process: R computes, Z is dead; None is gone."""
    fields = _stat(pid)
    return fields[0] if fields else None


def cpu_seconds(pid: int) -> float:
    """Return how long the process has computed."""
    fields = _stat(pid)
    return int(fields[11]) / os.sysconf("SC_CLK_TCK") if fields else 0.0


def _stat(pid: int) -> list[str]:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return []


@dataclass
class WorkerProcess:
    """One ``python -m orchestrator_worker``."""

    process: asyncio.subprocess.Process
    health_port: int
    log: Path

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def ended(self, *, within: float = PATIENCE_SECONDS) -> int:
        return await asyncio.wait_for(self.process.wait(), within)

    async def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
        await self.process.wait()

    def lines(self, event: str) -> list[dict[str, Any]]:
        """Return the log lines of this event."""
        lines = (json.loads(line) for line in self.log.read_text().splitlines() if line[:1] == "{")
        return [line for line in lines if line.get("event") == event]

    async def logged(self, *events: str) -> dict[str, Any]:
        """Wait for the first line of one of these events."""

        async def look() -> dict[str, Any] | None:
            return next((line for event in events for line in self.lines(event)), None)

        return await until(look)

    async def probe(self, path: str) -> int:
        """Return the health endpoint's status; 0 when nobody listens yet."""

        def get() -> int:
            try:
                url = f"http://127.0.0.1:{self.health_port}{path}"
                with urllib.request.urlopen(url, timeout=5) as answer:
                    return int(answer.status)
            except urllib.error.HTTPError as error:
                with error:
                    return error.code
            except OSError:
                return 0

        return await asyncio.to_thread(get)

    async def ready(self) -> None:
        async def look() -> bool:
            if self.process.returncode is not None:
                raise AssertionError(f"the worker ended: {self.log.read_text()[-3000:]}")
            return await self.probe("/readyz") == 200

        await until(look)


@dataclass
class Bench:
    """A database, a broker, the sweep that the API runs, and any number of workers."""

    database: Database
    postgres: PostgresSettings
    amqp: AmqpSettings
    folder: Path
    user_id: UserId
    workers: list[WorkerProcess] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.store = TaskStore(self.database)
        self.rings = RingStore(self.database)
        self.doorbell = Doorbell(self.amqp)

    async def submit(self, task_type: str, *, rings: int = 1, **fields: Any) -> TaskId:
        """Keep a task and ring for it."""
        [task_id] = await self.submit_all([self.a_task(task_type, **fields)], rings=rings)
        return task_id

    async def submit_all(
        self,
        tasks: list[NewTask],
        *,
        rings: int = 1,
        ring_again_seconds: float = RING_AGAIN_SECONDS,
    ) -> list[TaskId]:
        """Keep tasks and ring ``rings`` times for each; the sweep rings for what was lost."""
        ids = await keep_tasks(self.database, tasks, ring_after_seconds=ring_again_seconds)
        for _ in range(rings):
            await self.doorbell.ring([TaskEnvelope(task_id) for task_id in ids])
        return ids

    def a_task(
        self,
        task_type: str,
        payload: Mapping[str, object] | None = None,
        *,
        max_attempts: int = 3,
        timeout_seconds: int = 60,
    ) -> NewTask:
        return NewTask(
            user_id=self.user_id,
            task_type=task_type,
            payload=json.dumps(payload or {}),
            max_attempts=max_attempts,
            timeout_seconds=timeout_seconds,
            trace_context=to_trace_context(None),
        )

    async def upload(self, content: bytes, name: str = "file") -> FileId:
        """Keep a file of the tasks' owner."""
        new = NewUpload(
            user_id=self.user_id,
            file_name=name,
            content_type="application/octet-stream",
            announced_bytes=len(content),
        )
        rules = UploadRules(quota_bytes=1 << 30, upload_seconds=60, keep_seconds=3600)
        async with PostgresUploadStore(self.database).receiving(new, rules) as writer:
            for start in range(0, len(content), PIECE_BYTES):
                await writer.append(content[start : start + PIECE_BYTES])
            return (await writer.finish()).id

    async def task(self, task_id: TaskId) -> Task:
        found = await self.store.find(task_id)
        assert found is not None
        return found

    async def finished(self, task_id: TaskId, *, within: float = PATIENCE_SECONDS) -> Task:
        async def look() -> Task | None:
            task = await self.task(task_id)
            return task if task.status.is_final else None

        return await until(look, within=within)

    async def claimed(self, task_id: TaskId, *, times: int = 1) -> None:
        """Wait until the task was claimed that often."""

        async def look() -> bool:
            return (await self.kinds(task_id)).count("CLAIMED") >= times

        await until(look)

    async def kinds(self, task_id: TaskId) -> list[str]:
        """Return what happened to the task, in order."""
        async with self.database.answering("read events") as connection:
            rows = await connection.fetch(
                "SELECT kind FROM task_events WHERE task_id = $1 ORDER BY seq", task_id
            )
        return [row["kind"] for row in rows]

    async def rows(self, query: str, *arguments: object) -> list[Any]:
        async with self.database.answering("look") as connection:
            return list(await connection.fetch(query, *arguments))

    async def start_worker(
        self,
        *,
        postgres: PostgresSettings | None = None,
        amqp: AmqpSettings | None = None,
        s3: S3Settings | None = None,
        arguments: tuple[str, ...] = (),
        **settings: object,
    ) -> WorkerProcess:
        """Start a worker process; ``settings`` as in ``ORCHESTRATOR_WORKER_<NAME>``."""
        health_port = free_port()
        log = self.folder / f"worker-{len(self.workers)}.log"
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "orchestrator_worker", *arguments),
                env={
                    **self._environment(
                        postgres or self.postgres, amqp or self.amqp, health_port, settings
                    ),
                    **({} if s3 is None else s3_environment_of(s3)),
                },
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=asyncio.subprocess.STDOUT,
            )
        worker = WorkerProcess(process, health_port, log)
        self.workers.append(worker)
        return worker

    def broker_at(self, port: int) -> AmqpSettings:
        """Return this bench's broker as reached through another port."""
        parts = urlsplit(self.amqp.url.get_secret_value())
        return AmqpSettings(
            RABBITMQ_URL=parts._replace(netloc=f"guest:guest@127.0.0.1:{port}").geturl()
        )

    def unreachable_broker(self) -> AmqpSettings:
        """Return a broker that refuses connections."""
        return self.broker_at(free_port())

    def _environment(
        self,
        postgres: PostgresSettings,
        amqp: AmqpSettings,
        health_port: int,
        settings: Mapping[str, object],
    ) -> dict[str, str]:
        own = {
            "CONCURRENCY": 2,
            "LEASE_SECONDS": LEASE_SECONDS,
            "HEALTH_PORT": health_port,
            "METRICS_PORT": 0,
            "POD_NAME": "worker-under-test",
            **settings,
        }
        return {
            "PATH": os.environ["PATH"],
            "DB_HOST": postgres.host,
            "DB_PORT": str(postgres.port),
            "DB_USER": postgres.user,
            "DB_NAME": postgres.database,
            "RABBITMQ_URL": amqp.url.get_secret_value(),
            **{f"ORCHESTRATOR_WORKER_{name}": str(value) for name, value in own.items()},
        }

    async def sweep(self) -> None:
        """Do what the API's sweep does, in its absence: ring again and end exhausted tasks."""
        while True:
            with contextlib.suppress(StoreUnavailableError):
                await self.rings.fail_exhausted(limit=500)
                for take in (self.rings.take_first_rings, self.rings.take_repeats):
                    due = await take(limit=500, ring_after_seconds=RING_AGAIN_SECONDS)
                    if due:
                        await self.doorbell.ring([TaskEnvelope(task_id) for task_id in due])
            await asyncio.sleep(0.1)

    async def assert_invariants(self) -> None:
        """Check what must hold after every test, whatever was done to the workers."""
        gaps = await self.rows(
            "SELECT task_id FROM task_events GROUP BY task_id"
            " HAVING max(seq) <> count(*) OR min(seq) <> 1"
            " OR count(*) FILTER (WHERE status IN ('COMPLETED', 'FAILED')) > 1"
        )
        backwards = await self.rows(
            "SELECT task_id FROM (SELECT task_id, epoch, lag(epoch) OVER"
            " (PARTITION BY task_id ORDER BY seq) AS earlier FROM task_events) e"
            " WHERE epoch < earlier"
        )
        results = await self.rows(
            "SELECT t.id FROM tasks t LEFT JOIN task_results r ON r.task_id = t.id"
            " WHERE (t.status = 'COMPLETED') <> (r.task_id IS NOT NULL) OR r.epoch <> t.epoch"
        )
        leftovers = await self.rows(
            "SELECT l.task_id FROM live_tasks l JOIN tasks t ON t.id = l.task_id"
            " WHERE t.status IN ('COMPLETED', 'FAILED', 'CANCELLED')"
        )
        assert (gaps, backwards, results, leftovers) == ([], [], [], [])


class Wire:
    """A TCP proxy in front of a server, to be cut and mended."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = free_port()
        self.is_cut = False

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.cut()
        self._server.close()

    def cut(self) -> None:
        """Break every connection and refuse new ones."""
        self.is_cut = True
        for writer in self._writers:
            writer.transport.abort()

    def mend(self) -> None:
        self.is_cut = False

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.is_cut:
            writer.transport.abort()
            return
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        self._writers |= {writer, far_writer}
        await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))
        self._writers -= {writer, far_writer}


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


@contextlib.asynccontextmanager
async def opened_bench(
    database: Database, postgres: PostgresSettings, amqp: AmqpSettings, folder: Path, user: UserId
) -> AsyncIterator[Bench]:
    """Open a bench; end its workers and check the invariants in the end."""
    bench = Bench(database, postgres, amqp, folder, user)
    sweeping = asyncio.create_task(bench.sweep())
    try:
        yield bench
        await bench.assert_invariants()
    finally:
        sweeping.cancel()
        await asyncio.gather(*(worker.kill() for worker in bench.workers))
        await bench.doorbell.close()
