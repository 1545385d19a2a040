"""Every metric of the API.

Before: ``app`` makes one ``Metrics`` per process; ``wiring`` hands out its parts.
After: Prometheus reads them (``orchestrator_core.metrics``).
"""

import collections
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Literal

from prometheus_client import CollectorRegistry, Gauge

from orchestrator_core.counting import Counter, CounterFamily, Histogram, HistogramFamily
from orchestrator_core.metrics import StoreMetrics, new_registry
from orchestrator_core.spans import Exemplar

Source = Literal["redis", "memory"]
RingReason = Literal["fresh", "due", "missing", "overtaken"]
SweepEnd = Literal["done", "store_away", "failed"]
_SCOPES = ("user", "address")
METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
"""A client may send any word."""
CLIENT_GONE = 499
"""nginx's number for a client that hung up before its answer; it is never sent."""
DURATION_BUCKETS = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60)
BATCH_BUCKETS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
_SOURCES: tuple[Source, ...] = ("redis", "memory")
_RING_REASONS: tuple[RingReason, ...] = ("fresh", "due", "missing", "overtaken")
_SWEEP_ENDS: tuple[SweepEnd, ...] = ("done", "store_away", "failed")


class LimitMetrics:
    """Of the rate limits."""

    def __init__(self, registry: CollectorRegistry) -> None:
        decisions = CounterFamily(
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
        self._read = CounterFamily(
            "orchestrator_api_events_read_total",
            "Events that were read for those who follow tasks.",
            registry=registry,
        ).labels()
        self._behind = CounterFamily(
            "orchestrator_api_event_watchers_behind_total",
            "Times that a stream had more to tell than may wait, and went back to the history.",
            registry=registry,
        ).labels()

    def count_read(self, count: int) -> None:
        """Count ``count`` events."""
        self._read.inc(count)

    def count_behind(self) -> None:
        """Count one watcher that has fallen behind."""
        self._behind.inc()

    def tell_watching_by(self, count: Callable[[], int]) -> None:
        """Ask ``count`` whenever somebody reads the metrics."""
        self._watching.set_function(count)


class RequestMetrics:
    """Of requests: how many, how they ended, how long they took."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = CounterFamily(
            "orchestrator_api_requests_total",
            "Requests that were answered, by route and status; 499: the client hung up before.",
            ("method", "route", "status"),
            registry=registry,
        )
        self._seconds = HistogramFamily(
            "orchestrator_api_request_duration_seconds",
            "Time until a request was answered completely; of a stream, as long as it was open.",
            ("method", "route"),
            buckets=DURATION_BUCKETS,
            registry=registry,
        )
        self._known: dict[tuple[str, str, int | None], tuple[Counter, Histogram]] = {}

    def count(
        self, method: str, route: str, status: int | None, seconds: float, trace: Exemplar = None
    ) -> None:
        """Count one request; ``route`` is the template, so that there are not many."""
        key = (method if method in METHODS else "other", route, status)
        parts = self._known.get(key)
        if parts is None:
            method, route, status = key
            parts = self._known[key] = (
                self._requests.labels(method, route, status or CLIENT_GONE),
                self._seconds.labels(method, route),
            )
        requests, durations = parts
        requests.inc()
        durations.observe(seconds, trace)


class TaskMetrics:
    """Of submissions."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._submitted = CounterFamily(
            "orchestrator_api_tasks_submitted_total",
            "Tasks that were accepted; a repeated Idempotency-Key makes none.",
            ("task_type",),
            registry=registry,
        )
        self._batches = HistogramFamily(
            "orchestrator_api_submission_batch_size",
            "Tasks that went into Postgres with one statement.",
            buckets=BATCH_BUCKETS,
            registry=registry,
        ).labels()

    def count_submitted(self, task_types: Sequence[str]) -> None:
        """Count what one statement inserted."""
        for task_type, count in collections.Counter(task_types).items():
            self._submitted.labels(task_type).inc(count)
        self._batches.observe(len(task_types))


class RingMetrics:
    """Of the doorbell: sweeps, for how many tasks it rang, and for whom nobody rings again."""

    def __init__(self, registry: CollectorRegistry) -> None:
        sweeps = CounterFamily(
            "orchestrator_api_sweeps_total",
            "Sweeps, by how they ended; store_away: Postgres or RabbitMQ did not answer.",
            ("outcome",),
            registry=registry,
        )
        rings = CounterFamily(
            "orchestrator_api_rings_total",
            "Tasks that were rung for. fresh: just committed. due: their time came, or their lease"
            " ended. missing: fewer messages than tasks. overtaken: later ones ran before them.",
            ("reason",),
            registry=registry,
        )
        self._left = CounterFamily(
            "orchestrator_api_fresh_rings_left_total",
            "Fresh tasks that a sweep has to ring for, because RabbitMQ did not take the message.",
            registry=registry,
        ).labels()
        self._lost = CounterFamily(
            "orchestrator_api_tasks_lost_total",
            "Tasks that a sweep failed because the worker of their last attempt was lost.",
            registry=registry,
        ).labels()
        # A rate over what has not happened yet is 0 and not nothing.
        self._sweeps = {each: sweeps.labels(each) for each in _SWEEP_ENDS}
        self._rings = {each: rings.labels(each) for each in _RING_REASONS}

    def count_sweep(self, outcome: SweepEnd) -> None:
        """Count a sweep that ended."""
        self._sweeps[outcome].inc()

    def count_rung(self, count: int, reason: RingReason) -> None:
        """Count tasks that were rung for."""
        self._rings[reason].inc(count)

    def count_left(self, count: int) -> None:
        """Count fresh tasks that are left to a sweep."""
        self._left.inc(count)

    def count_lost(self, count: int) -> None:
        """Count tasks that ended with their last worker."""
        self._lost.inc(count)


class Metrics:
    """All metrics of one process."""

    def __init__(self) -> None:
        self.registry = new_registry(app="api", version=version("orchestrator-api"))
        self.requests = RequestMetrics(self.registry)
        self.tasks = TaskMetrics(self.registry)
        self.limits = LimitMetrics(self.registry)
        self.events = EventMetrics(self.registry)
        self.rings = RingMetrics(self.registry)
        self.stores = StoreMetrics(self.registry)
