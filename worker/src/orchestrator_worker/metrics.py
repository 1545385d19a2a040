"""Every metric of the worker.

Before: ``app`` makes one ``Metrics`` per process; ``wiring`` hands it to the parts that count.
After: Prometheus reads them (``orchestrator_core.metrics``).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Final

from prometheus_client import Gauge

from orchestrator_core.attempts import Claim, Failed, HandedBack, Outcome, RetryAfter, Succeeded
from orchestrator_core.counting import Counter, CounterFamily, Histogram, HistogramFamily
from orchestrator_core.metrics import StoreMetrics, new_registry
from orchestrator_core.spans import exemplar_of
from orchestrator_worker.slots import Slots

LEASE_LOST: Final = "lease_lost"
REFUSED: Final = "refused"
OUTCOMES: Final = {
    Succeeded: "succeeded",
    Failed: "failed",
    RetryAfter: "retried",
    HandedBack: "handed_back",
}
"""An attempt's outcome → the label's value."""
WAIT_BUCKETS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 900, 3600)
RUN_BUCKETS = (0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900)
BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


@dataclass(frozen=True, slots=True, kw_only=True)
class _OfType:
    """What is counted of the tasks of one type."""

    waits: Histogram
    seconds: Histogram
    attempts: Mapping[str, Counter]
    """By outcome."""


class Metrics:
    """All metrics of one process."""

    def __init__(self) -> None:
        self.registry = new_registry(app="worker", version=version("orchestrator-worker"))
        self.stores = StoreMetrics(self.registry)
        self._by_type: dict[str, _OfType] = {}
        self._attempts = CounterFamily(
            "orchestrator_worker_attempts_total",
            "Attempts that ended. lease_lost: the task was cancelled, or another attempt has it;"
            " refused: it ended too late for its outcome to count.",
            ("task_type", "outcome"),
            registry=self.registry,
        )
        self._seconds = HistogramFamily(
            "orchestrator_worker_attempt_duration_seconds",
            "From claim to settlement.",
            ("task_type",),
            buckets=RUN_BUCKETS,
            registry=self.registry,
        )
        self._waits = HistogramFamily(
            "orchestrator_worker_task_wait_seconds",
            "From when a task was due to its claim, for first attempts.",
            ("task_type",),
            buckets=WAIT_BUCKETS,
            registry=self.registry,
        )
        self._claimed = HistogramFamily(
            "orchestrator_worker_claim_batch_size",
            "Tasks that were claimed with one statement.",
            buckets=BATCH_BUCKETS,
            registry=self.registry,
        ).labels()
        self._settled = HistogramFamily(
            "orchestrator_worker_settlement_batch_size",
            "Outcomes that were recorded with one statement.",
            buckets=BATCH_BUCKETS,
            registry=self.registry,
        ).labels()
        self._slots = Gauge(
            "orchestrator_worker_slots",
            "Attempts that may run at once.",
            registry=self.registry,
        )
        self._busy = Gauge(
            "orchestrator_worker_slots_busy",
            "Attempts that run now.",
            registry=self.registry,
        )

    def watch_slots(self, slots: Slots) -> None:
        """Ask ``slots`` whenever somebody reads the metrics."""
        self._slots.set(slots.total)
        self._busy.set_function(lambda: slots.busy)

    def count_claims(self, claims: Sequence[Claim]) -> None:
        """Count what one statement claimed."""
        self._claimed.observe(len(claims))
        for claim in claims:
            of_type = self._of(claim.task_type)
            if claim.attempt == 1:
                of_type.waits.observe(claim.waited_seconds, exemplar_of(claim.trace_context))

    def _of(self, task_type: str) -> "_OfType":
        # Looked up once: finding a child by its labels costs more than counting.
        found = self._by_type.get(task_type)
        if found is None:
            found = self._by_type[task_type] = _OfType(
                waits=self._waits.labels(task_type),
                seconds=self._seconds.labels(task_type),
                # Each way to end begins at 0: a rate over what is not there is nothing.
                attempts={
                    outcome: self._attempts.labels(task_type, outcome)
                    for outcome in (*OUTCOMES.values(), LEASE_LOST, REFUSED)
                },
            )
        return found

    def count_settled(self, count: int) -> None:
        """Count the outcomes of one statement."""
        self._settled.observe(count)

    def count_lost(self, claim: Claim) -> None:
        """Count an attempt whose lease went to somebody else before it ended."""
        self._of(claim.task_type).attempts[LEASE_LOST].inc()

    def count_ended(
        self, claim: Claim, outcome: Outcome, seconds: float, *, is_recorded: bool
    ) -> None:
        """Count an attempt that ended by itself, or was handed back."""
        told = OUTCOMES[type(outcome)] if is_recorded else REFUSED
        of_type = self._of(claim.task_type)
        of_type.attempts[told].inc()
        of_type.seconds.observe(seconds, exemplar_of(claim.trace_context))
