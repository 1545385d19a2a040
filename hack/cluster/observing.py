"""How the local node is, asked of those who know.

What etcd holds of a node or a pod may date from before a crash. A condition counts only when
the kubelet that runs now wrote it; DNS counts only when it answers.

Before: ``nodes`` waits on it; ``status`` shows it.
After: lines for a person, booleans for the tool.
"""

import time
from datetime import datetime
from typing import Any

from hack.cluster import probes, processes, starting
from hack.cluster.apiservers import ApiServer
from hack.cluster.components import NAMES
from hack.cluster.layouts import (
    API_SERVICE_ADDRESS,
    DNS_SERVICE_ADDRESS,
    NODE_NAME,
    Layout,
)
from hack.cluster.providers import Status
from hack.tooling.steps import to_words

_OWN_NAME = "kubernetes.default.svc.cluster.local"


def is_node_ready(layout: Layout, api: ApiServer) -> bool:
    """Say whether the kubelet that runs now has reported itself ready."""
    kubelet = processes.find_running(starting.record_of(layout, "kubelet"))
    node = api.get(f"/api/v1/nodes/{NODE_NAME}") if kubelet else None
    return bool(kubelet and node and is_ready_since(node, kubelet.started_at))


def is_ready_since(node: dict[str, Any], since: float) -> bool:
    """Say whether a Node was reported ready at or after a time.

    Args:
        node: as the API server returns it.
        since: seconds since the epoch; heartbeats are written in whole seconds.
    """
    for condition in node.get("status", {}).get("conditions", []):
        if condition["type"] == "Ready" and condition["status"] == "True":
            reported = datetime.fromisoformat(condition["lastHeartbeatTime"]).timestamp()
            return reported >= int(since)
    return False


def is_dns_answering() -> bool:
    """Ask the cluster's DNS, through its Service, for the API server's name."""
    return probes.resolve(_OWN_NAME, DNS_SERVICE_ADDRESS) == API_SERVICE_ADDRESS


def observe_node(layout: Layout, api: ApiServer) -> Status:
    """Look at each process, the node and DNS."""
    running = {name: processes.find_running(starting.record_of(layout, name)) for name in NAMES}
    lines = [_describe(name, record) for name, record in running.items()]
    is_ready = is_node_ready(layout, api)
    is_resolving = is_dns_answering() if is_ready else False
    lines.append(f"{'node':<12} {'ready' if is_ready else 'not ready'}")
    lines.append(f"{'dns':<12} {'answers' if is_resolving else 'does not answer'}")
    return Status(all(running.values()) and is_ready and is_resolving, tuple(lines))


def _describe(name: str, record: processes.Record | None) -> str:
    if record is None:
        return f"{name:<12} not running"
    age_seconds = max(0.0, time.time() - record.started_at)
    return f"{name:<12} running as process {record.pid} for {to_words(age_seconds)}"
