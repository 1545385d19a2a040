"""Postgres: where tasks, accounts and results are kept.

The password belongs to the Secret, not to the volume: before Postgres starts,
a small container sets the role's password in single-user mode if the Secret says
something new. So a volume opens with whatever Secret there is: a retained one,
one restored by hand, or a fresh one after the old was lost.

Before: ``credentials`` applies the Secret.
After: the migration Job waits until this pod is ready.
"""

from importlib.resources import files
from typing import Any

from orchestrator_operator import names
from orchestrator_operator.bindings import DATABASE, PORTS, USER
from orchestrator_operator.compute import Resources
from orchestrator_operator.kinds import Manifest
from orchestrator_operator.manifests.context import Context, hash_of
from orchestrator_operator.manifests.pods import (
    STORE_UID,
    build_container,
    build_pod,
    build_probes,
    empty_volume,
    mount,
    tcp_connect,
)
from orchestrator_operator.manifests.stores import (
    CREDENTIALS_ROOT,
    CREDENTIALS_VOLUME,
    DATA_VOLUME,
    build_headless_service,
    build_stateful_set,
    credentials_volume,
)
from orchestrator_operator.quantities import to_number
from orchestrator_operator.spec import ManagedPostgres

DATA_FOLDER = "/var/lib/postgresql/data"
PGDATA = f"{DATA_FOLDER}/pgdata"
"""One below the volume's root, which may hold ``lost+found``."""
PASSWORD_FILE = f"{CREDENTIALS_ROOT}/{names.POSTGRES}/password"

MIB_PER_CONNECTION = 4
"""What a busy connection takes beside the shared buffers: 2 to 3 MB were seen, and some spare."""
FEWEST_CONNECTIONS = 100
MOST_CONNECTIONS = 1000
INITDB_ARGUMENTS = "--data-checksums --locale-provider=builtin --builtin-locale=C.UTF-8"
"""The builtin provider sorts the same in every image, and no update of glibc spoils an index."""
SMALLEST_SHARED_BUFFERS_MIB = 64
MEMORY_WITHOUT_LIMIT_MIB = 1024
MIB = 2**20

SET_ROLE = files("orchestrator_operator.manifests").joinpath("set_password.sh").read_text("utf-8")


def build_postgres(context: Context, managed: ManagedPostgres) -> list[Manifest]:
    """Return the Service and the StatefulSet."""
    pod = _build_pod(context, managed)
    return [
        build_headless_service(context, names.POSTGRES, PORTS[names.POSTGRES]),
        build_stateful_set(context, names.POSTGRES, pod, managed.storage),
    ]


def _build_pod(context: Context, managed: ManagedPostgres) -> dict[str, Any]:
    return build_pod(
        context,
        names.POSTGRES,
        uid=STORE_UID,
        initContainers=[_build_password_setter(context, managed)],
        containers=[_build_server(context, managed)],
        volumes=[
            credentials_volume(context, (names.POSTGRES, "password")),
            empty_volume("run", size_limit="16Mi"),
            empty_volume("tmp", size_limit="64Mi"),
        ],
        config_hash=hash_of(context.credentials.postgres.password),
        # A checkpoint on a slow disk takes its time; a kill costs a recovery and loses nothing.
        terminationGracePeriodSeconds=60,
    )


def _build_password_setter(context: Context, managed: ManagedPostgres) -> dict[str, Any]:
    return build_container(
        "set-password",
        context.images.postgres,
        command=["sh", "-c", SET_ROLE],
        env=_environment(),
        resources=managed.resources.to_manifest(),
        volumeMounts=_mounts(),
    )


def _build_server(context: Context, managed: ManagedPostgres) -> dict[str, Any]:
    return build_container(
        names.POSTGRES,
        context.images.postgres,
        args=["postgres", *_settings(managed.resources)],
        env=_environment(),
        ports=[{"name": names.POSTGRES, "containerPort": PORTS[names.POSTGRES], "protocol": "TCP"}],
        resources=managed.resources.to_manifest(),
        volumeMounts=_mounts(),
        # The port is open during a recovery too, which must not be interrupted; whether it
        # takes queries, pg_isready knows. Over TCP: the image's first start listens elsewhere.
        **build_probes(
            {"exec": {"command": ["pg_isready", "-q", "-h", "127.0.0.1", "-U", USER]}},
            alive=tcp_connect(names.POSTGRES),
        ),
    )


def _environment() -> list[dict[str, Any]]:
    return [
        {"name": "POSTGRES_USER", "value": USER},
        {"name": "POSTGRES_DB", "value": DATABASE},
        {"name": "POSTGRES_PASSWORD_FILE", "value": PASSWORD_FILE},
        {"name": "POSTGRES_INITDB_ARGS", "value": INITDB_ARGUMENTS},
        {"name": "PGDATA", "value": PGDATA},
        {"name": "DATA_FOLDER", "value": DATA_FOLDER},
    ]


def _mounts() -> list[dict[str, Any]]:
    return [
        mount(DATA_VOLUME, DATA_FOLDER),
        mount(CREDENTIALS_VOLUME, CREDENTIALS_ROOT, is_read_only=True),
        mount("run", "/var/run/postgresql"),
        mount("tmp", "/tmp"),  # noqa: S108 - a path in the pod
    ]


def _settings(resources: Resources) -> list[str]:
    values = {
        "max_connections": str(max_connections(resources)),
        "shared_buffers": f"{shared_buffers_mib(resources)}MB",
        # Compressed full-page images halve the log of an update-heavy table.
        "wal_compression": "on",
    }
    return [part for name, value in values.items() for part in ("-c", f"{name}={value}")]


def shared_buffers_mib(resources: Resources) -> int:
    """Return a quarter of the memory limit, as Postgres's manual advises."""
    return max(SMALLEST_SHARED_BUFFERS_MIB, _memory_mib(resources) // 4)


def max_connections(resources: Resources) -> int:
    """Return how many connections the memory limit has room for.

    It follows from memory alone, so that a change of replicas restarts no database; the
    autoscaler keeps the workers below it.
    """
    room = _memory_mib(resources) - shared_buffers_mib(resources)
    return min(MOST_CONNECTIONS, max(FEWEST_CONNECTIONS, room // MIB_PER_CONNECTION))


def _memory_mib(resources: Resources) -> int:
    limit = resources.limits.memory if resources.limits else None
    return MEMORY_WITHOUT_LIMIT_MIB if limit is None else int(to_number(limit) / MIB)
