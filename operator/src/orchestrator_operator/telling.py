"""Telling people: the status, written only when it differs, and Events for what happened.

Before: ``reconciling`` knows what it saw and did, ``scaling`` what it decided.
After: ``kubectl get``, ``describe`` and ``events``.
"""

from collections.abc import Sequence
from typing import Any

import structlog

from orchestrator_operator.applying import Cluster, ClusterError
from orchestrator_operator.conditions import DEGRADED, READY, SCALING_ACTIVE
from orchestrator_operator.kinds import Manifest
from orchestrator_operator.names import FIELD_MANAGER
from orchestrator_operator.status_model import OrchestratorStatus

_log = structlog.get_logger(__name__)

NORMAL = "Normal"
WARNING = "Warning"


async def write_status(
    cluster: Cluster, resource: Manifest, status: OrchestratorStatus
) -> Manifest:
    """Write the status if it differs from the resource's; return the resource as it then is."""
    wanted = status.model_dump(mode="json", by_alias=True, exclude_none=True)
    if _in_order(wanted) == _in_order(resource.get("status") or {}):
        return resource
    metadata = {key: resource["metadata"][key] for key in ("name", "namespace")}
    manifest = {
        "apiVersion": resource["apiVersion"],
        "kind": resource["kind"],
        "metadata": metadata,
        "status": wanted,
    }
    written = await cluster.apply(manifest, field_manager=FIELD_MANAGER, subresource="status")
    for type_, reason, message in _turns(resource.get("status") or {}, wanted):
        await emit(cluster, resource, type_=type_, reason=reason, message=message)
    return written


async def tell_changes(cluster: Cluster, resource: Manifest, changes: Sequence[str]) -> None:
    """Emit one Event for all that a pass changed."""
    if changes:
        _log.info("applied", changes=list(changes))
        await emit(cluster, resource, type_=NORMAL, reason="Applied", message="; ".join(changes))


async def emit(
    cluster: Cluster, resource: Manifest, *, type_: str, reason: str, message: str
) -> None:
    """Emit an Event; one that can't be written stops nothing."""
    try:
        await cluster.emit_event(resource, type_=type_, reason=reason, message=message)
    except ClusterError as error:
        _log.warning("event_lost", reason=reason, message=message, error=str(error))


def _turns(before: dict[str, Any], after: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Return Events for what turned: ready, or newly degraded for another reason."""
    old, new = _by_type(before), _by_type(after)
    turns = []
    ready = new.get(READY, {})
    if ready.get("status") == "True" and old.get(READY, {}).get("status") != "True":
        turns.append((NORMAL, "Ready", ready["message"]))
    degraded = new.get(DEGRADED, {})
    was = old.get(DEGRADED, {})
    has_turned = (was.get("status"), was.get("reason")) != ("True", degraded.get("reason"))
    # What the autoscaler finds it tells itself, also when it is not the worst of all.
    is_told = degraded.get("reason") == new.get(SCALING_ACTIVE, {}).get("reason")
    if degraded.get("status") == "True" and has_turned and not is_told:
        turns.append((WARNING, degraded["reason"], degraded["message"]))
    return turns


def _in_order(status: dict[str, Any]) -> dict[str, Any]:
    """Return a status with its lists sorted: an apply merges them in an order of its own."""
    return {
        key: sorted(value, key=lambda item: item.get("type") or item["name"])
        if isinstance(value, list)
        else value
        for key, value in status.items()
    }


def _by_type(status: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {condition["type"]: condition for condition in status.get("conditions") or ()}
