"""Counters and histograms for what happens with each request and each attempt.

Those of prometheus-client guard every number with a lock and walk a histogram's buckets one by
one, which a task whose whole way takes some 800 µs notices (DECISIONS.md, D-0054). Here one
thread counts, the event loop's, and any may read. A registry of prometheus-client collects and
writes both kinds alike.

Before: a process's module ``metrics`` names each family, its labels and its help.
After: ``orchestrator_core.metrics`` serves the registry.
"""

import itertools
import math
import time
from abc import abstractmethod
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Generic, TypeVar

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar as ExemplarSample
from prometheus_client.utils import floatToGoString

from orchestrator_core.spans import Exemplar


class Counter:
    """How often something happened."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0

    def inc(self, amount: int = 1) -> None:
        """Count it ``amount`` times more."""
        self.value += amount


class Histogram:
    """How many measurements lay where."""

    __slots__ = ("_bounds", "counts", "exemplars", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        """Take the buckets' upper bounds, which belong to them, in their order."""
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        """Of each bucket alone; the last one has no bound."""
        self.exemplars: list[ExemplarSample | None] = [None] * len(self.counts)
        """The latest of each bucket."""
        self.sum = 0.0

    def observe(self, value: float, exemplar: Exemplar = None) -> None:
        """Count one measurement; ``exemplar`` leads to where it came from."""
        bucket = bisect_left(self._bounds, value)
        self.counts[bucket] += 1
        self.sum += value
        if exemplar is not None:
            self.exemplars[bucket] = ExemplarSample(exemplar, value, time.time())


Child = TypeVar("Child", Counter, Histogram)


class _Family(Collector, Generic[Child]):
    """A metric: a child for each combination of its labels' values, or one if it has none."""

    def __init__(
        self,
        name: str,
        documentation: str,
        label_names: Sequence[str] = (),
        *,
        registry: CollectorRegistry,
    ) -> None:
        """Register the metric.

        Args:
            name: of the metric, with its unit.
            documentation: Prometheus shows it.
            label_names: their values have few combinations.
            registry: of the process.
        """
        self.name = name
        self.documentation = documentation
        self.label_names = tuple(label_names)
        self._children: dict[tuple[str, ...], Child] = {}
        registry.register(self)

    def labels(self, *values: object) -> Child:
        """Return the child with these values, which is there from now on.

        Raises:
            ValueError: they are not as many as the metric has labels.
        """
        if len(values) != len(self.label_names):
            raise ValueError(f"{self.name}: expected values of {self.label_names}, found {values}")
        key = tuple(map(str, values))
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = self._make()
        return child

    @abstractmethod
    def _make(self) -> Child: ...

    def _kept(self) -> list[tuple[tuple[str, ...], Child]]:
        # Copied in one step: another thread reads while children are added.
        return list(self._children.items())


class CounterFamily(_Family[Counter]):
    """A counter, called ``…_total``."""

    def describe(self) -> Iterator[Metric]:
        """Yield the metric without its values; called by the registry."""
        yield CounterMetricFamily(self.name, self.documentation, labels=self.label_names)

    def collect(self) -> Iterator[Metric]:
        """Yield the metric; called by the registry, from any thread."""
        family = CounterMetricFamily(self.name, self.documentation, labels=self.label_names)
        for values, child in self._kept():
            family.add_metric(values, child.value)
        yield family

    def _make(self) -> Counter:
        return Counter()


class HistogramFamily(_Family[Histogram]):
    """A histogram with the same buckets for all of its children."""

    def __init__(
        self,
        name: str,
        documentation: str,
        label_names: Sequence[str] = (),
        *,
        buckets: Sequence[float],
        registry: CollectorRegistry,
    ) -> None:
        """Register the metric.

        Args:
            name: as for each family, as are the others.
            documentation: likewise.
            label_names: likewise.
            buckets: their upper bounds, in their order; one without a bound follows.
            registry: likewise.
        """
        self._bounds = tuple(map(float, buckets))
        self._names: list[str] = [
            floatToGoString(bound)  # type: ignore[no-untyped-call]
            for bound in (*self._bounds, math.inf)
        ]
        super().__init__(name, documentation, label_names, registry=registry)

    def describe(self) -> Iterator[Metric]:
        """Yield the metric without its values; called by the registry."""
        yield HistogramMetricFamily(self.name, self.documentation, labels=self.label_names)

    def collect(self) -> Iterator[Metric]:
        """Yield the metric; called by the registry, from any thread."""
        family = HistogramMetricFamily(self.name, self.documentation, labels=self.label_names)
        for values, child in self._kept():
            # The sum may be of one measurement more or less; the buckets are of one moment.
            totals = itertools.accumulate(child.counts.copy())
            buckets = [
                (name, total) if exemplar is None else (name, total, exemplar)
                for name, total, exemplar in zip(
                    self._names, totals, child.exemplars.copy(), strict=True
                )
            ]
            family.add_metric(values, buckets, child.sum)
        yield family

    def _make(self) -> Histogram:
        return Histogram(self._bounds)
