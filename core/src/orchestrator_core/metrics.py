"""Where Prometheus reads what a process counts: a port of its own.

A port of its own, because what a process knows about itself is for its owner and not for its
clients. What is counted is listed in each process's own module ``metrics``.

Before: a composition root makes a registry and hands out the parts that count.
After: Prometheus reads ``/metrics``.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Protocol

from prometheus_client import (
    CollectorRegistry,
    Gauge,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    start_http_server,
)

from orchestrator_core.errors import SettingsError


def new_registry(*, app: str, version: str) -> CollectorRegistry:
    """Return a registry that knows the process: its memory, its time, what is installed.

    Args:
        app: the process, such as ``worker``.
        version: of its package.
    """
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    build = Gauge(
        "orchestrator_build_info",
        "1; the labels say what is installed.",
        ("app", "version"),
        registry=registry,
    )
    build.labels(app, version).set(1)
    return registry


class Pool(Protocol):
    """A pool of connections; ``postgres.database.Database`` is one."""

    max_connections: int

    @property
    def open_connections(self) -> int:
        """Return how many connections there are now."""
        ...

    @property
    def busy_connections(self) -> int:
        """Return how many of them run a statement."""
        ...


class StoreMetrics:
    """Of the stores, as a process sees them: who answers, and its connections to Postgres."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._up = Gauge(
            "orchestrator_store_up",
            "1 while a store answers this process.",
            ("store",),
            registry=registry,
        )
        self._connections = Gauge(
            "orchestrator_postgres_connections",
            "Connections of this process to Postgres; busy ones run a statement.",
            ("state",),
            registry=registry,
        )
        self._most = Gauge(
            "orchestrator_postgres_connections_max",
            "The most connections to Postgres that this process opens.",
            registry=registry,
        )

    def tell(self, store: str, *, is_up: bool) -> None:
        """Keep whether a store answered when it was last asked."""
        self._up.labels(store).set(is_up)

    def tell_by(self, store: str, is_up: Callable[[], bool]) -> None:
        """Ask ``is_up`` whenever somebody reads the metrics."""
        self._up.labels(store).set_function(is_up)

    def watch_pool(self, pool: Pool) -> None:
        """Ask ``pool`` whenever somebody reads the metrics."""
        self._most.set(pool.max_connections)
        self._connections.labels("busy").set_function(lambda: pool.busy_connections)
        self._connections.labels("idle").set_function(
            lambda: max(0, pool.open_connections - pool.busy_connections)
        )


@asynccontextmanager
async def serving_metrics(
    registry: CollectorRegistry, *, port: int, variable: str
) -> AsyncIterator[None]:
    """Serve ``/metrics`` from a thread until the context ends.

    Args:
        registry: what to serve.
        port: on all addresses; 0 serves nothing.
        variable: where the port was set, for the message.

    Raises:
        SettingsError: somebody else has the port.
    """
    if port == 0:
        yield
        return
    try:
        server, thread = start_http_server(port, registry=registry)
    except OSError as error:
        raise SettingsError(
            f"{variable}={port} can't be listened on ({error});"
            " give a free port, or 0 for no metrics"
        ) from error
    try:
        yield
    finally:
        # It looks for the wish to end twice a second; the event loop need not wait.
        await asyncio.to_thread(server.shutdown)
        server.server_close()
        thread.join()
