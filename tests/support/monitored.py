"""Who monitors a platform, as a cluster with Prometheus' operator would have it.

Before: the operator's chart is installed, and a platform called ``demo`` runs.
After: ``scraping`` reads what these PodMonitors select.
"""

import subprocess
from collections.abc import Mapping

import yaml

from hack.monitoring.writing import CHART
from platform_under_test import ROOT, Platform
from scraping import Monitor, Prometheus

OPERATOR_NAMESPACE = "orchestrator-system"
READ: Mapping[str, int] = {
    "demo-api": 2,
    "demo-worker": 1,
    # Once in sum, and once queue by queue.
    "demo-rabbitmq": 2,
    "orchestrator-operator": 1,
}
"""PodMonitor → how many targets it has at least, of a platform with a worker."""
_GOLDEN = ROOT / "tests/unit/operator/golden/everything.yaml"
_SHOWN = (
    "--set=monitoring.podMonitor.mode=Enabled",
    "--show-only=templates/monitoring/podmonitor.yaml",
)


def monitors_of(platform: Platform) -> list[Monitor]:
    """Return the PodMonitors of a platform of this name, and the chart's own."""
    documents = [*yaml.safe_load_all(_GOLDEN.read_text(encoding="utf-8"))]
    of_platform = [each for each in documents if each["kind"] == "PodMonitor"]
    command = ["helm", "template", "orchestrator-operator", str(CHART), *_SHOWN]
    rendered = subprocess.run(
        command, capture_output=True, text=True, timeout=30, check=True
    ).stdout
    assert [each["metadata"]["labels"]["app.kubernetes.io/instance"] for each in of_platform] == [
        platform.name
    ] * 3
    return [
        *(Monitor(each, platform.namespace) for each in of_platform),
        Monitor(yaml.safe_load(rendered), OPERATOR_NAMESPACE),
    ]


def are_read(server: Prometheus) -> bool:
    """Whether all of a platform with a worker answers, and the operator."""
    up = [each["labels"]["job"] for each in server.targets() if each["health"] == "up"]
    jobs = [job.rpartition("/")[2] for job in up]
    return all(jobs.count(name) >= count for name, count in READ.items())
