"""Every metric of the operator.

What a pass does is counted as it happens; what the autoscalers see is read from them when somebody
asks, term by term, so a resource that is gone leaves no series behind.

Before: ``app`` makes one ``Metrics`` per process.
After: Prometheus reads them (``orchestrator_core.metrics``).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import Final

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from orchestrator_core.load import Load
from orchestrator_core.metrics import new_registry
from orchestrator_operator.autoscaling import ScalingTarget, Terms
from orchestrator_operator.looping import FAILED, ResourceKey, Verdict
from orchestrator_operator.scaling import ScalingState
from orchestrator_operator.worker_pods import ObservedWorkers

PASS_BUCKETS: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
Value = Callable[[ScalingState], float | None]


def _of_load(pick: Callable[[Load], float]) -> Value:
    return lambda state: None if state.load is None else pick(state.load)


def _of_workers(pick: Callable[[ObservedWorkers], float]) -> Value:
    return lambda state: None if state.workers is None else pick(state.workers)


def _of_target(pick: Callable[[ScalingTarget], float]) -> Value:
    return lambda state: None if state.target is None else pick(state.target)


def _of_terms(pick: Callable[[Terms], float]) -> Value:
    def read(state: ScalingState) -> float | None:
        terms = state.last_decision.terms if state.last_decision else None
        return None if terms is None else pick(terms)

    return read


SCALING: Final[Mapping[str, tuple[str, Value]]] = {
    "active": ("1 while the law decides how many workers run.", lambda s: s.active.is_true),
    "limited": ("1 while the load asks for more than is allowed.", lambda s: s.limited.is_true),
    "faulty": ("1 while the number is held although the law should decide.", lambda s: s.is_faulty),
    "desired_replicas": ("Workers that are wanted now.", lambda s: s.desired_replicas),
    "law_replicas": ("Workers that the load calls for, in every mode.", lambda s: s.law_replicas),
    "replicas": (
        "Workers that the Deployment is to have.",
        _of_workers(lambda workers: workers.replicas),
    ),
    "ready_replicas": (
        "Workers whose pods are ready.",
        _of_workers(lambda workers: sum(pod.is_ready for pod in workers.pods)),
    ),
    "failing_replicas": (
        "Workers whose pods crash, or can't start.",
        _of_workers(lambda workers: sum(pod.is_failing for pod in workers.pods)),
    ),
    "min_replicas": (
        "The fewest workers that the resource allows.",
        _of_target(lambda target: target.min_replicas),
    ),
    "max_replicas": (
        "The most workers: the resource's bound, or that of Postgres's connections.",
        _of_target(lambda target: target.ceiling_replicas),
    ),
    "slots_per_replica": (
        "Attempts that one worker runs at once.",
        _of_target(lambda target: target.slots_per_pod),
    ),
    "target_latency_seconds": (
        "How long a task may wait, as the resource promises.",
        _of_target(lambda target: target.target_latency_seconds),
    ),
    "ready_tasks": (
        "Tasks that are due and that nobody holds.",
        _of_load(lambda load: load.ready_tasks),
    ),
    "in_flight_tasks": (
        "Tasks under a live lease.",
        _of_load(lambda load: load.in_flight_tasks),
    ),
    "oldest_ready_age_seconds": (
        "How long the oldest task that nobody holds has been due.",
        _of_load(lambda load: load.oldest_ready_age_seconds),
    ),
    "stuck_tasks": (
        "Tasks whose doorbell should have rung a minute ago; always 0 while sweeps run.",
        _of_load(lambda load: load.stuck_tasks),
    ),
    "arrival_rate_per_second": (
        "Tasks that arrive, as the law sees it.",
        _of_terms(lambda terms: terms.rate_per_second),
    ),
    "service_seconds": (
        "How long an attempt takes, as the law sees it.",
        _of_terms(lambda terms: terms.service_seconds),
    ),
    "load_slots": (
        "Slots that the arrivals keep busy.",
        _of_terms(lambda terms: terms.load_slots),
    ),
    "safety_slots": (
        "Slots on top, for arrivals that come in clusters.",
        _of_terms(lambda terms: terms.safety_slots),
    ),
    "backlog_slots": (
        "Slots on top, to bring what waits down to the promised latency.",
        _of_terms(lambda terms: terms.backlog_slots),
    ),
}
"""Series of the autoscaler → help, and where the value is; no sample while it is None."""


class Metrics:
    """All metrics of one process."""

    def __init__(self, scaling: Callable[[], Mapping[ResourceKey, ScalingState]]) -> None:
        """Make them.

        Args:
            scaling: returns the autoscalers that run. Called from another thread.
        """
        self.registry = new_registry(app="operator", version=version("orchestrator-operator"))
        self._passes = Counter(
            "orchestrator_operator_passes_total",
            "Passes over a resource, by how they ended.",
            ("verdict",),
            registry=self.registry,
        )
        # A rate over what has not happened yet is 0 and not nothing.
        for verdict in (*(each.value for each in Verdict), FAILED):
            self._passes.labels(verdict)
        self._seconds = Histogram(
            "orchestrator_operator_pass_duration_seconds",
            "Time that a pass took.",
            buckets=PASS_BUCKETS,
            registry=self.registry,
        )
        self._changes = Counter(
            "orchestrator_operator_changes_total",
            "Objects that passes made, changed, grew or deleted; at rest there are none.",
            ("change", "kind"),
            registry=self.registry,
        )
        self._resources = Gauge(
            "orchestrator_operator_scaled_resources",
            "Resources whose autoscaler runs.",
            registry=self.registry,
        )
        self._resources.set_function(lambda: len(scaling()))
        self.registry.register(ScalingCollector(scaling))

    def count_pass(self, verdict: str, seconds: float) -> None:
        """Count a pass; see ``looping.OnPass``."""
        self._passes.labels(verdict).inc()
        self._seconds.observe(seconds)

    def count_changes(self, changes: Sequence[str]) -> None:
        """Count what a pass changed, told as ``created Deployment demo-api``."""
        for told in changes:
            change, kind, _ = told.split(maxsplit=2)
            self._changes.labels(change, kind).inc()


class ScalingCollector(Collector):
    """Reads the autoscalers when Prometheus asks."""

    def __init__(self, scaling: Callable[[], Mapping[ResourceKey, ScalingState]]) -> None:
        self._scaling = scaling

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield one family for each series, with a sample for each resource that has a value."""
        states = self._scaling()
        for name, (told, value) in SCALING.items():
            family = GaugeMetricFamily(
                f"orchestrator_autoscaler_{name}", told, labels=("namespace", "name")
            )
            for key, state in states.items():
                if (found := value(state)) is not None:
                    family.add_metric([key.namespace, key.name], float(found))
            yield family
