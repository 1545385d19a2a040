"""The Ingress: a name of the outside world in front of the edge.

Before: ``spec.edge.ingress`` names a host.
After: the cluster's ingress controller sends what comes for that host to the edge.
"""

from typing import Any

from orchestrator_operator import names
from orchestrator_operator.kinds import INGRESS, Manifest
from orchestrator_operator.manifests.api import SERVICE_PORT
from orchestrator_operator.manifests.context import Context, build_object


def build_ingress(context: Context) -> list[Manifest]:
    """Return the Ingress; none if no host is named."""
    asked = context.spec.edge.ingress
    if asked is None:
        return []
    service = {"name": context.child(names.EDGE), "port": {"number": SERVICE_PORT}}
    path = {"path": "/", "pathType": "Prefix", "backend": {"service": service}}
    spec: dict[str, Any] = {"rules": [{"host": asked.host, "http": {"paths": [path]}}]}
    if asked.class_name is not None:
        spec["ingressClassName"] = asked.class_name
    if asked.tls_secret_ref is not None:
        spec["tls"] = [{"hosts": [asked.host], "secretName": asked.tls_secret_ref.name}]
    ingress = build_object(context, INGRESS, names.EDGE, {"spec": spec})
    if asked.annotations:
        ingress["metadata"]["annotations"] = dict(asked.annotations)
    return [ingress]


def public_address(context: Context) -> str | None:
    """Return where clients outside the cluster find the edge, if the resource says so."""
    asked = context.spec.edge.ingress
    if asked is None:
        return None
    return f"{'http' if asked.tls_secret_ref is None else 'https'}://{asked.host}"
