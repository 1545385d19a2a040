"""Every metric of the API, and the port where Prometheus reads them.

A port of its own, because what the process knows about itself is for its owner
and not for its clients.

Before: ``wiring`` makes one ``Metrics`` per process and hands out its parts.
After: Prometheus reads ``/metrics``.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Literal

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    start_http_server,
)

from orchestrator_core.errors import SettingsError

Source = Literal["redis", "memory"]
_SCOPES = ("user", "address")
_SOURCES: tuple[Source, ...] = ("redis", "memory")


class LimitMetrics:
    """Of the rate limits."""

    def __init__(self, registry: CollectorRegistry) -> None:
        decisions = Counter(
            "orchestrator_api_rate_limit_decisions_total",
            "Requests that a rate limit let through or refused.",
            ("scope", "decision", "source"),
            registry=registry,
        )
        # Looked up once: finding a child by its labels costs more than counting.
        self._decisions = {
            (scope, source, is_allowed): decisions.labels(
                scope, "allowed" if is_allowed else "refused", source
            )
            for scope in _SCOPES
            for source in _SOURCES
            for is_allowed in (True, False)
        }
        self._degraded = Gauge(
            "orchestrator_api_rate_limit_degraded",
            "1 while Redis is away and each replica limits by its own memory.",
            registry=registry,
        )

    def count(self, scope: str, source: Source, *, is_allowed: bool) -> None:
        """Count one decision."""
        self._decisions[scope, source, is_allowed].inc()

    def tell_degraded_by(self, is_degraded: Callable[[], bool]) -> None:
        """Ask ``is_degraded`` whenever somebody reads the metrics."""
        self._degraded.set_function(is_degraded)


class EventMetrics:
    """Of those who follow tasks."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._watching = Gauge(
            "orchestrator_api_event_watchers",
            "Streams and long polls under way.",
            registry=registry,
        )
        self._read = Counter(
            "orchestrator_api_events_read_total",
            "Events that were read for those who follow tasks.",
            registry=registry,
        )
        self._behind = Counter(
            "orchestrator_api_event_watchers_behind_total",
            "Times that a stream had more to tell than may wait, and went back to the history.",
            registry=registry,
        )

    def count_read(self, count: int) -> None:
        """Count ``count`` events."""
        self._read.inc(count)

    def count_behind(self) -> None:
        """Count one watcher that has fallen behind."""
        self._behind.inc()

    def tell_watching_by(self, count: Callable[[], int]) -> None:
        """Ask ``count`` whenever somebody reads the metrics."""
        self._watching.set_function(count)


class Metrics:
    """All metrics of one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self.limits = LimitMetrics(self.registry)
        self.events = EventMetrics(self.registry)


@asynccontextmanager
async def serving_metrics(metrics: Metrics, *, port: int) -> AsyncIterator[None]:
    """Serve ``/metrics`` from a thread until the context ends.

    Args:
        metrics: what to serve.
        port: on all addresses; 0 serves nothing.

    Raises:
        SettingsError: somebody else has the port.
    """
    if port == 0:
        yield
        return
    try:
        server, thread = start_http_server(port, registry=metrics.registry)
    except OSError as error:
        raise SettingsError(
            f"ORCHESTRATOR_API_METRICS_PORT={port} can't be listened on ({error});"
            " give a free port, or 0 for no metrics"
        ) from error
    try:
        yield
    finally:
        # It looks for the wish to end twice a second; the event loop need not wait.
        await asyncio.to_thread(server.shutdown)
        server.server_close()
        thread.join()
