"""The variables of every dashboard, and expressions that several panels build on.

Whose series these are stands in labels that a PodMonitor gives them: ``namespace``, and the
pod's ``app.kubernetes.io/instance`` and ``…/component``. An autoscaler's series come from the
operator's pod and carry the resource's own ``namespace`` and ``name``.

Before: ``orchestrator_*.metrics`` name what is measured.
After: ``dashboards`` puts these into panels.
"""

from typing import Final

INTERVAL: Final = "$__rate_interval"
"""Grafana's: at least four scrapes, however far somebody zooms in."""
OWN: Final = 'namespace="$namespace", app_kubernetes_io_instance="$orchestrator"'
"""Series of the platform's own pods."""
SCALED: Final = 'namespace="$namespace", name="$orchestrator"'
"""Series of its autoscaler."""
PROBES: Final = "/livez|/readyz|/health"
"""Routes that the kubelet asks; an outage that they report is not one of requests."""
REQUESTS: Final = f'route!~"{PROBES}"'
FAILED: Final = 'status=~"5.."'
DEAD: Final = 'queue="task.dead"'


def own(metric: str, *matchers: str) -> str:
    """Return the selector of a metric of the platform's pods."""
    return f"{metric}{{{', '.join([OWN, *matchers])}}}"


def scaled(series: str) -> str:
    """Return one series of the autoscaler, whichever of the operator's pods told it last."""
    return f"max(orchestrator_autoscaler_{series}{{{SCALED}}})"


def rate(metric: str, *matchers: str, by: str = "") -> str:
    """Return how often something happens a second, over all pods."""
    grouped = f"sum by ({by})" if by else "sum"
    return f"{grouped} (rate({own(metric, *matchers)}[{INTERVAL}]))"


def quantile(share: float, histogram: str, *matchers: str, by: str = "") -> str:
    """Return below which value a share of the observations lies."""
    labels = ", ".join(filter(None, [by, "le"]))
    buckets = f"rate({own(f'{histogram}_bucket', *matchers)}[{INTERVAL}])"
    return f"histogram_quantile({share}, sum by ({labels}) ({buckets}))"


def mean(histogram: str, *matchers: str) -> str:
    """Return the mean of the observations."""
    return f"{rate(f'{histogram}_sum', *matchers)} / {rate(f'{histogram}_count', *matchers)}"


def of_pods(component: str) -> tuple[str, str]:
    """Return the processor time and the memory of a component's pods, as its processes know it."""
    matcher = f'app_kubernetes_io_component="{component}"'
    return (
        rate("process_cpu_seconds_total", matcher, by="pod"),
        f"sum by (pod) ({own('process_resident_memory_bytes', matcher)})",
    )
