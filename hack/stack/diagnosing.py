"""What stands in the way when something does not become ready.

"Timed out" alone sends a person to five kubectl commands; these are their answers.

Before: ``installing`` has waited in vain.
After: a person reads conditions, pods and warnings, the most telling first.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hack.stack.cluster import Cluster
from hack.tooling.errors import ToolError

SHOWN_WARNINGS = 5


def show_state(cluster: Cluster, *, namespaces: Sequence[str]) -> None:
    """Print what is not as it should be in these namespaces; a question that fails is left out."""
    print("what is there now:", flush=True)
    for namespace in namespaces:
        for kind, describe in (
            ("orchestrators", describe_resources),
            ("pods", describe_pods),
            ("events", describe_warnings),
        ):
            with contextlib.suppress(ToolError):
                listed = cluster.get(kind, f"--namespace={namespace}") or {}
                for line in describe(listed.get("items", [])):
                    print(f"    {namespace}: {line}", flush=True)


def describe_resources(resources: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Name the conditions that an Orchestrator does not fulfil."""
    for resource in resources:
        name = resource["metadata"]["name"]
        conditions = resource.get("status", {}).get("conditions", [])
        if not conditions:
            yield f"orchestrator {name}: the operator has not looked at it yet"
        for one in conditions:
            # Scaling limits, a pause and progress are ordinary in either state.
            is_amiss = one["type"].endswith("Ready") and one["status"] != "True"
            if is_amiss or (one["type"] == "Degraded" and one["status"] == "True"):
                reason, message = one.get("reason", ""), one.get("message", "")
                yield f"orchestrator {name}: {one['type']}={one['status']} {reason}: {message}"


def describe_pods(pods: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Name the pods that are neither ready nor done, and why."""
    if not pods:
        yield "there are no pods"
    for pod in pods:
        status = pod.get("status", {})
        phase = status.get("phase", "Unknown")
        conditions = {one["type"]: one for one in status.get("conditions", [])}
        is_ready = conditions.get("Ready", {}).get("status") == "True"
        if phase == "Succeeded" or is_ready:
            continue
        reasons = [*_waiting(status), *_unscheduled(conditions)]
        yield f"pod {pod['metadata']['name']} {phase}: {'; '.join(reasons) or 'not ready'}"


def describe_warnings(events: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Name the last warnings, each text once, the newest last."""
    warnings = [event for event in events if event.get("type") == "Warning"]
    lines: dict[str, str] = {}
    for event in sorted(warnings, key=_seen_at):
        text = f"{event['involvedObject'].get('name')}: {event.get('message', '')}"
        # Put in again, so that the newest is last.
        lines.pop(text, None)
        lines[text] = f"warning about {text}"
    yield from list(lines.values())[-SHOWN_WARNINGS:]


def _waiting(status: Mapping[str, Any]) -> Iterator[str]:
    containers = [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]
    for container in containers:
        state = container.get("state", {})
        found = state.get("waiting") or state.get("terminated") or {}
        # An init container that has done its work is no reason.
        if found.get("reason") not in (None, "Completed"):
            # A container that failed brings the end of its log; the last line is the reason.
            last = str(found.get("message", "")).strip().rpartition("\n")[2]
            yield f"{container['name']} {found['reason']}" + (f" ({last})" if last else "")


def _unscheduled(conditions: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    scheduled = conditions.get("PodScheduled", {})
    if scheduled.get("status") == "False":
        yield str(scheduled.get("message", "not scheduled"))


def _seen_at(event: Mapping[str, Any]) -> str:
    return str(event.get("lastTimestamp") or event.get("eventTime") or "")
