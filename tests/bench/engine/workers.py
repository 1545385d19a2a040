"""Worker and producer processes of a system: started, frozen, continued, ended.

Before: ``systems`` says what to start.
After: ``scenarios`` measure them from outside.
"""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import services
from tests.bench.engine.contract import IN_FLIGHT_PER_PROCESS
from tests.bench.engine.systems import OUR_PYTHON, ROOT, System
from tests.bench.stores import Addresses
from tests.bench.wrk import BenchError

_STOP_SECONDS = 20.0
_PRODUCER_SECONDS = 300.0
_ENTRY_POINT = "[orchestrator.handlers]\nbench = tests.bench.engine.handlers.noop:handlers\n"


@dataclass(frozen=True, slots=True)
class Workers:
    """Worker processes that run."""

    processes: Sequence["subprocess.Popen[bytes]"]
    logs: Sequence[Path]

    @property
    def pids(self) -> list[int]:
        """Return the first process of each."""
        return [each.pid for each in self.processes]

    def freeze(self) -> None:
        """Stop all where they are; they take nothing until ``go``."""
        self._signal(signal.SIGSTOP)

    def go(self) -> None:
        """Let them continue."""
        self._signal(signal.SIGCONT)

    def check(self) -> None:
        """Say so if one has ended.

        Raises:
            BenchError: with the end of its log.
        """
        for process, log in zip(self.processes, self.logs, strict=True):
            if process.poll() is not None:
                raise BenchError(
                    f"a worker ended with {process.returncode}: {log.read_text()[-3000:]}"
                )

    def stop(self) -> None:
        """End all: politely, then by force. May be called again."""
        self.go()
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_STOP_SECONDS)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def _signal(self, number: signal.Signals) -> None:
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)


@contextlib.contextmanager
def running_workers(
    system: System, addresses: Addresses, folder: Path, *, profiles: Path | None = None
) -> Iterator[Workers]:
    """Start a system's workers and end them.

    Args:
        system: to run.
        addresses: of its stores.
        folder: for logs.
        profiles: where our own workers write samples; they are slower then.
    """
    processes, logs = [], []
    for number, usual in enumerate(system.commands):
        log = folder / f"{system.name}-{number}.log"
        environment = build_environment(system, addresses, folder)
        if profiles is not None:
            environment["ORCHESTRATOR_BENCH_PROFILES"] = str(profiles)
        command = ("-m", "tests.bench.engine.profiled_worker") if profiles else usual
        processes.append(_start(system.python, command, environment, log))
        logs.append(log)
    workers = Workers(processes, logs)
    try:
        yield workers
    finally:
        workers.stop()


async def run_producer(
    system: System, addresses: Addresses, folder: Path, *arguments: str
) -> dict[str, Any]:
    """Run the producer to its end and return what it says.

    Raises:
        BenchError: it failed.
    """
    process = await asyncio.create_subprocess_exec(
        system.python,
        *("-m", "tests.bench.engine.producing", system.name, *arguments),
        env=build_environment(system, addresses, folder),
        cwd=ROOT,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        output, errors = await asyncio.wait_for(process.communicate(), _PRODUCER_SECONDS)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    if process.returncode != 0:
        raise BenchError(f"{system.name}'s producer failed:\n{errors.decode()[-3000:]}")
    report: dict[str, Any] = json.loads(output.splitlines()[-1])
    return report


def publish_types(system: System, addresses: Addresses, folder: Path) -> None:
    """Let our worker write its task types, as the operator's migration Job does."""
    subprocess.run(
        [OUR_PYTHON, "-m", "orchestrator_worker", "publish-types"],
        env=build_environment(system, addresses, folder),
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=60,
    )


def build_environment(system: System, addresses: Addresses, folder: Path) -> dict[str, str]:
    """Return the variables of a system's processes, workers and producers alike."""
    own = _build_own(addresses, folder) if system.has_health_port else {}
    return {
        "PATH": os.environ["PATH"],
        "DATABASE_URL": addresses.postgres_url,
        "RABBITMQ_URL": addresses.amqp_url,
        "dramatiq_queue_prefetch": "128",
        **own,
        **system.environment,
    }


def _build_own(addresses: Addresses, folder: Path) -> Mapping[str, str]:
    return {
        "PYTHONPATH": str(_write_metadata(folder)),
        "DB_HOST": "127.0.0.1",
        "DB_PORT": str(addresses.servers.postgres.port),
        "DB_USER": "postgres",
        "DB_NAME": addresses.name,
        "ORCHESTRATOR_WORKER_CONCURRENCY": str(IN_FLIGHT_PER_PROCESS),
        "ORCHESTRATOR_WORKER_HEALTH_PORT": str(services.free_port()),
        "ORCHESTRATOR_WORKER_METRICS_PORT": "0",
        "ORCHESTRATOR_WORKER_POD_NAME": "bench",
        "ORCHESTRATOR_WORKER_LOG_LEVEL": "WARNING",
    }


def _write_metadata(folder: Path) -> Path:
    """Make our task type discoverable without installing anything; return the folder to look in."""
    home = folder / "handlers"
    metadata = home / "orchestrator_bench_tasks-0.dist-info"
    metadata.mkdir(parents=True, exist_ok=True)
    (metadata / "entry_points.txt").write_text(_ENTRY_POINT)
    (metadata / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: orchestrator-bench-tasks\nVersion: 0\n"
    )
    return home


def _start(
    python: str, command: Sequence[str], environment: Mapping[str, str], log: Path
) -> "subprocess.Popen[bytes]":
    with log.open("wb") as output:
        return subprocess.Popen(
            [python, *command],
            env=dict(environment),
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
