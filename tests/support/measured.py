"""What the three processes measure, also what they have not counted yet.

Before: each process's ``metrics`` has registered it.
After: tests hold names and labels against what may be, and against what is asked for.
"""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry

from orchestrator_api.metrics import Metrics as ApiMetrics
from orchestrator_operator.metrics import Metrics as OperatorMetrics
from orchestrator_worker.metrics import Metrics as WorkerMetrics


def registries() -> dict[str, CollectorRegistry]:
    """Return a new registry of each process."""
    return {
        "api": ApiMetrics().registry,
        "worker": WorkerMetrics().registry,
        "operator": OperatorMetrics(dict).registry,
    }


def labels_of(registry: CollectorRegistry) -> Iterator[tuple[str, str]]:
    """Yield metrics with each of their labels, but for a histogram's ``le``."""
    for collector in [*registry._collector_to_names]:  # noqa: SLF001 - nobody else knows
        # Of counters and histograms of ours, or of gauges of the library's.
        labels = getattr(collector, "label_names", getattr(collector, "_labelnames", ()))
        for described in getattr(collector, "describe", tuple)():
            yield from ((described.name, label) for label in labels)
    for family in registry.collect():
        for sample in family.samples:
            yield from ((family.name, label) for label in sample.labels if label != "le")
