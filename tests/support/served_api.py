"""The API as a container runs it: a process of its own under gunicorn, on the loopback.

Before: a test has settings of real stores.
After: it talks to the process over TCP, reads its log, looks at its memory.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

import services
from api_clients import JWT_SECRET, NO_LIMITS
from orchestrator_api.settings import ProcessSettings

START_SECONDS = 60.0


@dataclass(frozen=True)
class ServedApi:
    """A running process and where it listens."""

    process: "subprocess.Popen[bytes]"
    url: str
    log: Path

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def lines(self) -> list[dict[str, Any]]:
        """Return the log; a line under way is left out."""
        whole, _, _ = self.log.read_text().rpartition("\n")
        # Not ``splitlines``: JSON may hold other ends of lines as they are.
        return [json.loads(line) for line in whole.split("\n") if line]

    def resident_bytes(self) -> int:
        """Return the memory that the process and its children have in use."""
        return sum(_resident_bytes(pid) for pid in [self.process.pid, *self._children()])

    def forget_peak(self) -> None:
        """Let ``peak_bytes`` count from now."""
        for pid in [self.process.pid, *self._children()]:
            Path(f"/proc/{pid}/clear_refs").write_text("5")

    def peak_bytes(self) -> int:
        """Return the most memory that each had in use since ``forget_peak``, together."""
        return sum(_peak_bytes(pid) for pid in [self.process.pid, *self._children()])

    def _children(self) -> list[int]:
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in path.read_text().split()]


def environment_of(settings: ProcessSettings, **changes: str) -> dict[str, str]:
    """Return the environment of a process with these stores, a cheap hash and no limits."""
    return {
        "PATH": os.environ["PATH"],
        "APP_PORT": str(services.free_port()),
        "DB_HOST": settings.postgres.host,
        "DB_PORT": str(settings.postgres.port),
        "DB_USER": settings.postgres.user,
        "DB_NAME": settings.postgres.database,
        "REDIS_HOST": settings.redis.host,
        "REDIS_PORT": str(settings.redis.port),
        "RABBITMQ_URL": settings.amqp.url.get_secret_value(),
        "JWT_SECRET": JWT_SECRET,
        "ORCHESTRATOR_API_BCRYPT_ROUNDS": "4",
        "ORCHESTRATOR_API_METRICS_PORT": "0",
        "ORCHESTRATOR_API_RATE_LIMITS": NO_LIMITS,
        **changes,
    }


@contextlib.contextmanager
def serving_process(environment: Mapping[str, str], log: Path) -> Iterator[ServedApi]:
    """Run the process until the context ends; hand it out when it is ready."""
    with process_of(environment, log) as process:
        served = ServedApi(process, f"http://127.0.0.1:{environment['APP_PORT']}", log)
        _await_ready(served)
        yield served


@contextlib.contextmanager
def process_of(environment: Mapping[str, str], log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Run the process until the context ends, ready or not."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "orchestrator_api", "serve"],
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _await_ready(served: ServedApi) -> None:
    deadline = time.monotonic() + START_SECONDS
    with httpx.Client(base_url=served.url) as client:
        while served.process.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(httpx.TransportError):
                if client.get("/readyz").status_code == 200:
                    return
            time.sleep(0.05)
    raise AssertionError(f"the API did not start:\n{served.log.read_text()}")


def _resident_bytes(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _peak_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM:"))
