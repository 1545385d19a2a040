"""A small whole platform of real processes, to be broken: stores, APIs and workers.

Before: servers that no other test uses run.
After: a trial has load, a fault and a ledger, and ends with every invariant checked.
"""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from random import Random
from types import MappingProxyType
from typing import Any, NamedTuple

import httpx

import services
from evidence import Witness, until
from invariants import Evidence, count_totals, find_violations
from ledger import Ledger, Totals
from orchestrator_api.settings import ProcessSettings
from own_stores import own_stores
from served_api import environment_of
from task_load import USERS, Load, User, a_mixed_task
from tcp_proxy import TcpProxy, proxies

LEASE_SECONDS = 2.0
"""Short for a test, and still long enough for a busy machine to extend it in time."""
DRAIN_SECONDS = 1.0
FAST_RINGS = {
    "ORCHESTRATOR_API_RING_LOST_SECONDS": "2",
    "ORCHESTRATOR_API_RING_AGAIN_SECONDS": "2",
}
"""In seconds what takes half a minute otherwise; still longer than any confirm."""
BEGUN = 10
"""Accepted submissions after which the load counts as under way."""


class Stores(NamedTuple):
    """The servers of a platform."""

    postgres: services.Service
    redis: services.Service
    rabbitmq: services.Service


@dataclass
class Part:
    """A process of the platform: an API or a worker."""

    name: str
    arguments: Sequence[str]
    environment: Mapping[str, str]
    ready_url: str
    log: Path
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *self.arguments],
                env=dict(self.environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def await_ready(self) -> None:
        until(self._is_ready, what=f"{self.name} to be ready; see {self.log}")

    def terminate(self) -> int:
        """Ask it to end; return the code that it ends with."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(timeout=60)

    def freeze(self) -> None:
        """Stop it and its children where they are."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGCONT)

    def kill(self) -> None:
        """End it and its children with no time for a last word."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def _is_ready(self) -> bool:
        assert self.is_running, f"it ended:\n{self.log.read_text()[-3000:]}"
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(self.ready_url, timeout=5).is_success
        return False


@dataclass
class Trial:
    """One fault under load; what came of it is there when its context has ended."""

    name: str
    ledger: Ledger
    users: Sequence[User]
    guest: User
    """Submits what the test itself wants, beside the load."""
    evidence: Evidence = field(init=False)
    totals: Totals = field(init=False)

    def codes(self) -> set[int | None]:
        return {entry.status for entry in self.ledger}

    def submit(self, submission: Mapping[str, Any]) -> int:
        """Submit as the guest; return the accepted task."""
        entry = self.guest.submit(submission)
        assert entry.is_accepted, entry
        assert entry.task_id is not None
        return entry.task_id


StartTrial = Callable[..., AbstractContextManager[Trial]]
"""What tests call: ``FaultyPlatform.trial``, which also leaves its figures in the report."""


@dataclass
class FaultyPlatform:
    """Its parts, and what can be done to them."""

    stores: Stores
    postgres_proxy: TcpProxy
    redis_proxy: TcpProxy
    witness: Witness
    folder: Path
    environment: Mapping[str, str]
    """Of both kinds of parts; each reads its own."""
    apis: list[Part] = field(default_factory=list)
    workers: list[Part] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=count)

    def add_api(self) -> Part:
        port, name = services.free_port(), f"api-{next(self._numbers)}"
        part = Part(
            name,
            arguments=("orchestrator_api", "serve"),
            environment={**self.environment, "APP_PORT": str(port)},
            ready_url=f"http://127.0.0.1:{port}/readyz",
            log=self.folder / f"{name}.log",
        )
        self.apis.append(part)
        part.start()
        return part

    def add_worker(self, **settings: object) -> Part:
        """Start one more; ``settings`` as in ``ORCHESTRATOR_WORKER_<NAME>``."""
        port, name = services.free_port(), f"worker-{next(self._numbers)}"
        own = {
            "CONCURRENCY": 8,
            "LEASE_SECONDS": LEASE_SECONDS,
            "DRAIN_SECONDS": DRAIN_SECONDS,
            "HEALTH_PORT": port,
            "METRICS_PORT": 0,
            "POD_NAME": name,
            **settings,
        }
        names = {f"ORCHESTRATOR_WORKER_{key}": str(value) for key, value in own.items()}
        # A killed worker leaves its tasks' folders.
        names["TMPDIR"] = str(self.folder)
        part = Part(
            name,
            arguments=("orchestrator_worker",),
            environment={**self.environment, **names},
            ready_url=f"http://127.0.0.1:{port}/readyz",
            log=self.folder / f"{name}.log",
        )
        self.workers.append(part)
        part.start()
        return part

    def await_claim(self, task_id: int, *, attempt: int = 1) -> Part:
        """Wait until this attempt is under way; return the worker that makes it."""
        query = (
            "SELECT w.pod_name FROM live_tasks l JOIN workers w ON w.worker_id = l.lease_owner"
            " JOIN tasks t ON t.id = l.task_id WHERE t.id = $1 AND t.attempts = $2"
        )

        def look() -> Part | None:
            names = {row["pod_name"] for row in self.witness.rows(query, task_id, attempt)}
            return next((part for part in self.workers if part.name in names), None)

        return until(look, what=f"attempt {attempt} at task {task_id}")

    def make_whole(self) -> None:
        """Start again what has ended, and wait until all is ready."""
        parts = [*self.apis, *self.workers]
        for part in parts:
            if not part.is_running:
                part.start()
        for part in parts:
            part.await_ready()

    def end(self) -> None:
        for part in [*self.apis, *self.workers]:
            part.kill()

    @contextmanager
    def trial(
        self,
        name: str,
        *,
        make_task: Callable[[Random], Mapping[str, Any]] = a_mixed_task,
        **facts: Any,
    ) -> Iterator[Trial]:
        """Let users work while the context breaks something and heals it; then check all.

        Args:
            name: of the fault.
            make_task: what users submit.
            facts: about the fault, as in ``Evidence``.
        """
        self.make_whole()
        ledger = Ledger(self.folder / f"{name}.jsonl")
        urls = [part.ready_url.removesuffix("/readyz") for part in self.apis]
        users = [User(ledger, urls, Random(f"{name} {number}")) for number in range(USERS + 1)]
        for user in users:
            user.sign_in()
        trial = Trial(name, ledger, users, users[0])
        with Load(users[1:], make_task).running():
            until(lambda: len(ledger.acknowledged()) >= BEGUN, what="the load to be under way")
            yield trial
            self.make_whole()
        facts["recovered"] = self.witness.count_keys(ledger.unknown_keys())
        for user in users:
            user.resolve()
            user.client.close()
        user_ids = [user.id for user in users]
        self.witness.await_end(user_ids)
        trial.evidence = Evidence(**self.witness.read(user_ids), **facts)
        trial.totals = count_totals(ledger, trial.evidence)
        assert find_violations(ledger, trial.evidence) == []


@contextmanager
def a_platform(
    stores: Stores,
    folder: Path,
    *,
    apis: int = 1,
    workers: int = 2,
    environment: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[FaultyPlatform]:
    """Run a platform with a database and a virtual host of its own on ``stores``."""
    with (
        own_stores(*stores) as settings,
        proxies(stores.postgres.port, stores.redis.port) as (postgres_proxy, redis_proxy),
        ExitStack() as ending,
    ):
        platform = FaultyPlatform(
            stores,
            postgres_proxy,
            redis_proxy,
            Witness(settings.postgres, settings.amqp),
            folder,
            environment_of(
                _behind(settings, postgres_proxy, redis_proxy), **FAST_RINGS, **environment
            ),
        )
        ending.callback(platform.end)
        for _ in range(apis):
            platform.add_api()
        for _ in range(workers):
            platform.add_worker()
        platform.make_whole()
        yield platform


def _behind(
    settings: ProcessSettings, postgres_proxy: TcpProxy, redis_proxy: TcpProxy
) -> ProcessSettings:
    return replace(
        settings,
        postgres=settings.postgres.model_copy(update={"port": postgres_proxy.port}),
        redis=settings.redis.model_copy(update={"port": redis_proxy.port}),
    )
