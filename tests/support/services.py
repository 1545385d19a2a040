"""Real Postgres, Redis, RabbitMQ and S3 for the integration tests.

Each runs as its own user on free ports of the loopback with its data in a
temporary folder and ends with the tests.

Before: ``make services`` has installed Debian's packages, ``make`` has built the S3 server.
After: the fixtures in ``conftest.py`` hand out settings.
"""

import base64
import contextlib
import functools
import itertools
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

START_SECONDS = 60.0
PORTS = range(20_000, 30_000)
"""Linux gives connections ports from 32768 on; Kubernetes has node ports from 30000 on."""
BLOCK_SIZE = 500
LOOPBACK_ONLY = ("127.0.0.1",)
MEMORY = Path("/dev/shm")  # noqa: S108 - each server has a folder of its own there
ROOM_BYTES = 4 << 30
S3_ACCOUNT = "nobody"
S3_ACCESS_KEY = "tester"
S3_SECRET_KEY = "loopback-only"


class ServiceError(Exception):
    """A service could not be started; the message holds the end of its log."""


@dataclass
class Service:
    """A server: it runs, but for while a test has ended it."""

    name: str
    port: int
    home: Path
    spawn: Callable[[], "subprocess.Popen[bytes]"]
    process: "subprocess.Popen[bytes]"


class _Ports:
    """Ports that nobody else takes before the server that gets them listens, seconds later.

    They lie below those that the kernel gives to connections, and each process of the tests takes
    them from a block of its own, which it owns by the abstract socket of that name until it ends.
    """

    def __init__(self) -> None:
        self._ports = itertools.cycle(self._own_block())

    def _own_block(self) -> range:
        owner = socket.socket(socket.AF_UNIX)
        for first in PORTS[::BLOCK_SIZE]:
            with contextlib.suppress(OSError):
                owner.bind(f"\0orchestrator-tests-{first}")
                # Nobody closes it but the end of the process.
                owner.detach()
                return range(first, first + BLOCK_SIZE)
        raise ServiceError(f"all ports of {PORTS} belong to tests that run: end some of them")

    def next(self) -> int:
        """Return the next port that no address of the machine has a listener on."""
        for port in itertools.islice(self._ports, BLOCK_SIZE):
            with contextlib.suppress(OSError), socket.socket() as probe:
                probe.bind(("", port))
                return port
        raise ServiceError(f"something listens on each of this process's {BLOCK_SIZE} ports")


@functools.cache
def _own_ports() -> _Ports:
    return _Ports()


def free_port() -> int:
    """Return a port that nobody listens on, and that no other test gets soon."""
    return _own_ports().next()


def find_program(name: str, *folders: str) -> str:
    """Return a server's path.

    Raises:
        ServiceError: it is not installed.
    """
    path = shutil.which(name, path=os.pathsep.join([*folders, os.environ["PATH"]]))
    if path is None:
        raise ServiceError(f"{name} is not installed: `make integration` installs or builds it")
    return path


def find_memory() -> Path | None:
    """Return a folder in memory with room for every server, if there is one.

    A copy of a database takes 0.02 s there and 0.25 s on a disk of the machine that builds this.
    """
    if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free >= ROOM_BYTES:
        return MEMORY
    return None


@contextlib.contextmanager
def running(
    name: str,
    user: str,
    command: Callable[[Path, int], list[str]],
    *,
    is_durable: bool = False,
    **environment: str,
) -> Iterator[Service]:
    """Run a server as ``user`` in a temporary home until the context ends.

    Args:
        name: of the server.
        user: it runs as.
        command: made of its home and its port.
        is_durable: its home is on the disk, not in memory; only measurements need that.
        environment: its variables, beside what every program needs.
    """
    folder = None if is_durable else find_memory()
    home = Path(tempfile.mkdtemp(prefix=f"orchestrator-{name}-", dir=folder))
    account = pwd.getpwnam(user)
    os.chown(home, account.pw_uid, account.pw_gid)
    port = free_port()
    arguments = command(home, port)

    def spawn() -> "subprocess.Popen[bytes]":
        with (home / "server.log").open("ab") as output:
            return subprocess.Popen(
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=home,
                env={
                    "PATH": os.environ["PATH"],
                    "HOME": str(home),
                    "LC_ALL": "C.UTF-8",
                    **environment,
                },
                user=account.pw_uid,
                group=account.pw_gid,
                extra_groups=[],
                start_new_session=True,
            )

    service = Service(name, port, home, spawn, spawn())
    try:
        _await_port(service)
        yield service
    finally:
        _end(service.process, name)
        shutil.rmtree(home, ignore_errors=True)


def _await_port(service: Service) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if service.process.poll() is not None:
            break
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", service.port), 0.2),
        ):
            return
        time.sleep(0.05)
    log = (service.home / "server.log").read_text(errors="replace")
    raise ServiceError(f"{service.name} did not start:\n{log[-3000:]}")


def _end(process: "subprocess.Popen[bytes]", name: str) -> None:
    """End a server at once; only Postgres has something outside its home to clean up."""
    with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
        if name == "postgres":
            process.send_signal(signal.SIGINT)
            process.wait(timeout=5)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@contextlib.contextmanager
def paused(service: Service) -> Iterator[None]:
    """Stop a server and all of its processes where they are, as a frozen machine would."""
    pids = _descendants(service.process.pid)
    try:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


@contextlib.contextmanager
def killed(service: Service) -> Iterator[None]:
    """End a server with no time for a last word; it starts again with what its disk holds."""
    pids = _descendants(service.process.pid)
    os.killpg(service.process.pid, signal.SIGKILL)
    service.process.wait()
    try:
        # Postgres's processes end by themselves, and must have before there can be new ones.
        _await_end(pids)
        yield
    finally:
        service.process = service.spawn()
        _await_port(service)
        if service.name == "rabbitmq":
            await_broker(service)


def _await_end(pids: list[int]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        if time.monotonic() > deadline:
            raise ServiceError(f"of the processes {pids} at least one did not end")
        time.sleep(0.01)


def _descendants(pid: int) -> list[int]:
    """Return ``pid`` and its children's children, those who could make more first."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(each for child in children for each in _descendants(int(child)))]


def postgres(
    *,
    is_durable: bool = False,
    certificate: tuple[Path, Path] | None = None,
    addresses: Sequence[str] = LOOPBACK_ONLY,
) -> contextlib.AbstractContextManager[Service]:
    """Postgres with trust authentication on the loopback.

    Args:
        is_durable: wait for the disk, as production does. Tests end processes, never the machine,
            so what was written stays without it.
        certificate: and its key; whoever comes without TLS is refused then, and everybody but the
            superuser needs a password.
        addresses: to listen on, the loopback among them.
    """
    durability = "" if is_durable else "-c fsync=off -c full_page_writes=off"
    folders = sorted((str(p) for p in Path("/usr/lib/postgresql").glob("*/bin")), reverse=True)
    initdb, server = (find_program(name, *folders) for name in ("initdb", "postgres"))
    script = (
        '[ -e data ] || "$0" -D data -U postgres -E UTF8 --auth=trust >initdb.log 2>&1 '
        '|| { cat initdb.log; exit 1; }; exec "$1" -D data -p "$2" -k "$3" '
        f"-c listen_addresses={','.join(addresses)} -c max_connections=200 {durability}"
    )

    def command(home: Path, port: int) -> list[str]:
        protection = "" if certificate is None else _protect_postgres(home, *certificate)
        return ["sh", "-c", script + protection, initdb, server, str(port), str(home)]

    return running("postgres", "postgres", command, is_durable=is_durable)


def _protect_postgres(home: Path, certificate: Path, key: Path) -> str:
    """Give Postgres its certificate; return the options that make it insist on TLS."""
    for source, name in ((certificate, "server.crt"), (key, "server.key")):
        shutil.copy(source, home / name)
        shutil.chown(home / name, "postgres")
        (home / name).chmod(0o600)
    (home / "hba.conf").write_text(
        "hostssl all postgres 127.0.0.1/32 trust\nhostssl all all all scram-sha-256\n"
    )
    return (
        f" -c ssl=on -c ssl_cert_file={home}/server.crt -c ssl_key_file={home}/server.key"
        f" -c hba_file={home}/hba.conf"
    )


def redis(
    *, password: str = "", addresses: Sequence[str] = LOOPBACK_ONLY
) -> contextlib.AbstractContextManager[Service]:
    """Redis without persistence: it forgets."""
    server = find_program("redis-server")

    def command(_: Path, port: int) -> list[str]:
        login = ["--requirepass", password] if password else []
        return [server, "--bind", *addresses, "--port", str(port), "--save", "", *login]

    return running("redis", "redis", command)


def s3() -> contextlib.AbstractContextManager[Service]:
    """VersityGW, an S3 server whose buckets are the folders below ``home/data``."""
    server = os.environ.get("VERSITYGW_BINARY") or find_program("versitygw")

    def command(home: Path, port: int) -> list[str]:
        buckets = home / "data"
        buckets.mkdir()
        shutil.chown(buckets, S3_ACCOUNT)
        return [server, "--quiet", "--port", f"127.0.0.1:{port}", "posix", str(buckets)]

    return running(
        "s3", S3_ACCOUNT, command, ROOT_ACCESS_KEY=S3_ACCESS_KEY, ROOT_SECRET_KEY=S3_SECRET_KEY
    )


@contextlib.contextmanager
def jaeger(*, address: str = "127.0.0.1") -> Iterator[Service]:
    """Jaeger in one process that keeps what it gets in memory; its port answers about traces.

    Args:
        address: where it takes spans; see ``collector_url``.
    """
    server = os.environ.get("JAEGER_BINARY") or find_program("jaeger")
    # It would listen on every one of these in any case.
    others = (
        *("admin.http", "query.grpc-server"),
        *("collector.grpc-server", "collector.http-server", "collector.otlp.grpc"),
    )

    def command(home: Path, port: int) -> list[str]:
        otlp = f"{address}:{free_port()}"
        (home / "collector").write_text(f"http://{otlp}")
        return [
            server,
            f"--collector.otlp.http.host-port={otlp}",
            f"--query.http-server.host-port=127.0.0.1:{port}",
            *(f"--{each}.host-port=127.0.0.1:{free_port()}" for each in others),
        ]

    with running("jaeger", "nobody", command, SPAN_STORAGE_TYPE="memory") as service:
        yield service


def collector_url(service: Service) -> str:
    """Return where a running Jaeger takes OTLP over HTTP."""
    return (service.home / "collector").read_text()


@contextlib.contextmanager
def rabbitmq(
    *, is_durable: bool = False, addresses: Sequence[str] = LOOPBACK_ONLY
) -> Iterator[Service]:
    """RabbitMQ with a node name, folders, a cookie and a management port of its own.

    ``broker_api`` finds the management API's port in the server's home.
    """
    folders = sorted(str(p) for p in Path("/usr/lib/rabbitmq/lib").glob("*/sbin"))
    server = find_program("rabbitmq-server", *folders)
    distribution, mapper, management = free_port(), free_port(), free_port()

    def command(home: Path, port: int) -> list[str]:
        listeners = [
            f"listeners.tcp.{number} = {address}:{port}\n"
            for number, address in enumerate(addresses, start=1)
        ]
        (home / "rabbitmq.conf").write_text(
            f"management.tcp.port = {management}\nmanagement.tcp.ip = 127.0.0.1\n"
            + "".join(listeners)
        )
        (home / "enabled_plugins").write_text("[rabbitmq_management].")
        (home / "management_port").write_text(str(management))
        (home / "mapper_port").write_text(str(mapper))
        settings = {
            "RABBITMQ_NODENAME": f"test-{port}@localhost",
            "RABBITMQ_DIST_PORT": str(distribution),
            "RABBITMQ_BASE": str(home),
            "RABBITMQ_MNESIA_BASE": str(home / "mnesia"),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_PID_FILE": str(home / "pid"),
            "RABBITMQ_CONFIG_FILE": str(home / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "enabled_plugins"),
            "RABBITMQ_CONF_ENV_FILE": str(home / "no-env.conf"),
            "ERL_EPMD_PORT": str(mapper),
            # Lets us end it although a killed server may still be registered.
            "ERL_EPMD_RELAXED_COMMAND_CHECK": "1",
            # Two schedulers that sleep when idle: the tests share the machine.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+sbwt none +S 2:2",
        }
        return ["env", *(f"{name}={value}" for name, value in settings.items()), server]

    try:
        with running("rabbitmq", "rabbitmq", command, is_durable=is_durable) as service:
            yield service
    finally:
        # Erlang's port mapper detaches itself from the server that started it.
        subprocess.run(
            [find_program("epmd"), "-port", str(mapper), "-kill"],
            capture_output=True,
            timeout=10,
            check=False,
        )


def broker_api(service: Service, method: str, path: str, body: object = None) -> Any:
    """Call RabbitMQ's management API and return its JSON, or None.

    Args:
        service: a running RabbitMQ.
        method: of HTTP.
        path: below ``/api/``, its parts quoted.
        body: sent as JSON.
    """
    port = int((service.home / "management_port").read_text())
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/api/{path}",
        method=method,
        data=json.dumps(body or {}).encode(),
        headers={
            "Authorization": f"Basic {base64.b64encode(b'guest:guest').decode()}",
            "Content-Type": "application/json",
        },
    )
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - as above
        text = answer.read()
    return json.loads(text) if text else None


def broker_control(service: Service, *arguments: str) -> str:
    """Run rabbitmqctl, for what the management API can't do; return what it prints."""
    folders = sorted(str(p) for p in Path("/usr/lib/rabbitmq/lib").glob("*/sbin"))
    account = pwd.getpwnam("rabbitmq")
    done = subprocess.run(
        [find_program("rabbitmqctl", *folders), "--quiet", *arguments],
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(service.home),
            "LC_ALL": "C.UTF-8",
            "RABBITMQ_NODENAME": f"test-{service.port}@localhost",
            "RABBITMQ_CONF_ENV_FILE": str(service.home / "no-env.conf"),
            "ERL_EPMD_PORT": (service.home / "mapper_port").read_text(),
        },
        user=account.pw_uid,
        group=account.pw_gid,
        extra_groups=[],
        cwd=service.home,
        timeout=START_SECONDS,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout


def await_broker(service: Service) -> None:
    """Wait until RabbitMQ's management API answers; AMQP does by then too."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            broker_api(service, "GET", "overview")
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return
