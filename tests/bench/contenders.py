"""The two services, started as in production: gunicorn, one worker process, logs to a file.

Before: ``stores`` has servers and schemas.
After: ``rounds`` load them through HTTP with the tokens of several users.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import httpx
import jwt

import services
from orchestrator_core.topology import TASK_QUEUE_ARGUMENTS
from tests.bench.stores import MIGRATIONS, TEXTBOOK_SCHEMA, Addresses, make_database, make_vhost
from tests.bench.wrk import BenchError

USERS = 8
JWT_SECRET = "a secret of at least thirty-two bytes"
PASSWORD = "password123"
BUCKET_CAPACITY = 1_000_000
"""More than any user asks for here: the limit is worked out for every request and refuses none."""
BUCKET_REFILL_PER_SECOND = 10_000
_START_SECONDS = 30.0
_STOP_SECONDS = 30.0
_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """A service that runs and answers."""

    name: str
    url: str
    """Where tasks are submitted."""
    pid: int
    """gunicorn's master; its worker is a child."""
    tokens: Sequence[str]
    """Access tokens of several users."""
    log: Path
    addresses: Addresses

    def read_log_end(self) -> str:
        """Return the last lines of its log."""
        return _read_end(self.log)


@asynccontextmanager
async def running_api(
    addresses: Addresses,
    folder: Path,
    *,
    profile: Path | None = None,
    command: Sequence[str] | None = None,
    environment: Mapping[str, str] | None = None,
) -> AsyncIterator[Contender]:
    """Run our API.

    Args:
        addresses: of its own database and virtual host.
        folder: for its log.
        profile: where to write a profile; the process is slower with one.
        command: to run instead of the usual one.
        environment: variables beside the usual ones.
    """
    await make_database(addresses, *sorted(MIGRATIONS.glob("*.up.sql")))
    make_vhost(addresses, TASK_QUEUE_ARGUMENTS)
    port, metrics_port = services.free_port(), services.free_port()
    variables = {
        **_environment_of_api(addresses, port=port, metrics_port=metrics_port),
        **(environment or {}),
    }
    _publish_types(variables)
    command = command or [sys.executable, "-m", "orchestrator_api", "serve"]
    if profile is not None:
        variables["ORCHESTRATOR_BENCH_PROFILE"] = str(profile)
        config = "python:tests.bench.profiled_gunicorn"
        command = [sys.executable, "-m", "gunicorn", "-c", config, "orchestrator_api.asgi:app"]
    url, log = f"http://127.0.0.1:{port}", folder / "ours.log"
    with serving(command, variables, log, f"{url}/readyz") as pid:
        tokens = [await _sign_up(url, number) for number in range(USERS)]
        yield Contender(
            name="ours",
            url=f"{url}/api/v1/tasks",
            pid=pid,
            tokens=tokens,
            log=log,
            addresses=addresses,
        )


@asynccontextmanager
async def running_textbook(addresses: Addresses, folder: Path) -> AsyncIterator[Contender]:
    """Run the textbook service."""
    await make_database(addresses, TEXTBOOK_SCHEMA)
    make_vhost(addresses, {})
    port = services.free_port()
    command = build_textbook_command(sys.executable, "tests.bench.textbook.service:app", port)
    environment = build_textbook_environment(addresses)
    url, log = f"http://127.0.0.1:{port}", folder / "textbook.log"
    tokens = await _make_textbook_users(addresses)
    with serving(command, environment, log, f"{url}/health") as pid:
        yield Contender(
            name="textbook",
            url=f"{url}/api/v1/tasks",
            pid=pid,
            tokens=tokens,
            log=log,
            addresses=addresses,
        )


def build_textbook_command(python: str, app: str, port: int) -> list[str]:
    """Return how to serve an app with gunicorn, in one process on uvloop and httptools."""
    worker = "uvicorn_worker.UvicornWorker"
    command = [python, "-m", "gunicorn", "-w", "1", "-k", worker, "-b", f"127.0.0.1:{port}"]
    return [*command, "--no-control-socket", app]


def build_textbook_environment(addresses: Addresses) -> dict[str, str]:
    """Return the variables of the textbook service, and of those made like it."""
    return {
        "PATH": os.environ["PATH"],
        "DATABASE_URL": addresses.postgres_url,
        "REDIS_URL": addresses.redis_url,
        "RABBITMQ_URL": addresses.amqp_url,
        "JWT_SECRET": JWT_SECRET,
        "BUCKET_CAPACITY": str(BUCKET_CAPACITY),
        "BUCKET_REFILL_PER_SECOND": str(BUCKET_REFILL_PER_SECOND),
    }


def _environment_of_api(addresses: Addresses, *, port: int, metrics_port: int) -> dict[str, str]:
    refill_per_minute = BUCKET_REFILL_PER_SECOND * 60
    limits = f'{{"capacity": {BUCKET_CAPACITY}, "refill_per_minute": {refill_per_minute}}}'
    return {
        "PATH": os.environ["PATH"],
        "APP_PORT": str(port),
        "DB_HOST": "127.0.0.1",
        "DB_PORT": str(addresses.servers.postgres.port),
        "DB_USER": "postgres",
        "DB_NAME": addresses.name,
        "REDIS_HOST": "127.0.0.1",
        "REDIS_PORT": str(addresses.servers.redis.port),
        "RABBITMQ_URL": addresses.amqp_url,
        "JWT_SECRET": JWT_SECRET,
        "ORCHESTRATOR_API_BCRYPT_ROUNDS": "4",
        "ORCHESTRATOR_API_RATE_LIMITS": f'{{"users": {limits}, "auth": {limits}}}',
        "ORCHESTRATOR_API_METRICS_PORT": str(metrics_port),
    }


def _publish_types(environment: Mapping[str, str]) -> None:
    """Let the worker publish its real types, as the operator's migration Job does."""
    subprocess.run(
        [sys.executable, "-m", "orchestrator_worker", "publish-types"],
        env=dict(environment),
        check=True,
        capture_output=True,
        timeout=_START_SECONDS,
    )


@contextlib.contextmanager
def serving(
    command: Sequence[str], environment: Mapping[str, str], log: Path, health_url: str
) -> Iterator[int]:
    """Run a service until the context ends; return its pid once it answers."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            env=dict(environment),
            cwd=_ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _await_health(process, health_url, log)
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_SECONDS)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _await_health(process: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(url).status_code == httpx.codes.OK:
                return
        time.sleep(0.05)
    raise BenchError(f"{url} did not answer:\n{_read_end(log)}")


def _read_end(log: Path) -> str:
    return log.read_text(errors="replace")[-3000:]


async def _sign_up(url: str, number: int) -> str:
    """Register and log in a user of our API; return the access token."""
    credentials = {"username": f"bench-{number}", "password": PASSWORD}
    async with httpx.AsyncClient(base_url=url) as client:
        for path in ("/auth/register", "/auth/login"):
            answer = await client.post(path, json=credentials)
            if answer.is_error:
                raise BenchError(f"{path} answered {answer.status_code}: {answer.text}")
    return str(answer.json()["access_token"])


async def _make_textbook_users(addresses: Addresses) -> list[str]:
    connection = await asyncpg.connect(addresses.postgres_url)
    try:
        rows = await connection.fetch(
            "INSERT INTO users (username, password_hash)"
            " SELECT 'bench-' || n, 'unused' FROM generate_series(1, $1) AS n RETURNING id",
            USERS,
        )
    finally:
        await connection.close()
    return sign_tokens([row["id"] for row in rows])


def sign_tokens(user_ids: Sequence[int]) -> list[str]:
    """Return the access token of each user, as the textbook service takes it."""
    now = int(time.time())
    common = {"iss": "textbook", "aud": "tasks", "iat": now, "exp": now + 900}
    return [jwt.encode({**common, "sub": str(each)}, JWT_SECRET, "HS256") for each in user_ids]
