"""What the three managed stores share: pods with stable names behind a headless Service.

Before: ``postgres``, ``redis`` and ``rabbitmq`` describe their pods.
After: Services and StatefulSets.
"""

from collections.abc import Mapping
from typing import Any

from orchestrator_operator.kinds import SERVICE, STATEFUL_SET, Manifest
from orchestrator_operator.manifests.context import Context, build_object
from orchestrator_operator.names import labels
from orchestrator_operator.spec import DeletionPolicy, StorageSpec

DATA_VOLUME = "data"
CREDENTIALS_VOLUME = "credentials"
CREDENTIALS_ROOT = "/etc/orchestrator"


def build_headless_service(context: Context, component: str, port: int) -> Manifest:
    """Return the Service under whose name clients find the store."""
    return build_object(
        context,
        SERVICE,
        component,
        {
            "spec": {
                # The name resolves to the pod itself: no proxy between, and no address to lose.
                "clusterIP": "None",
                # Whoever asks too early is better refused a connection at once than told that no
                # such name exists, which resolvers remember for seconds; of several addresses
                # clients try the next. And the nodes of a cluster find each other by name.
                "publishNotReadyAddresses": True,
                "selector": context.selector(component),
                "ports": [
                    {"name": component, "port": port, "targetPort": component, "protocol": "TCP"}
                ],
            }
        },
    )


def build_stateful_set(
    context: Context,
    component: str,
    pod: Mapping[str, Any],
    storage: StorageSpec | None = None,
    *,
    replicas: int = 1,
) -> Manifest:
    """Return the StatefulSet of a store's pods, each with a volume when ``storage`` is given."""
    spec: dict[str, Any] = {
        "replicas": replicas,
        "serviceName": context.child(component),
        "selector": {"matchLabels": context.selector(component)},
        "podManagementPolicy": "Parallel",
        "updateStrategy": {"type": "RollingUpdate"},
        "revisionHistoryLimit": 3,
        "template": pod,
    }
    if storage is not None:
        is_kept = context.spec.deletion_policy is DeletionPolicy.RETAIN
        spec["persistentVolumeClaimRetentionPolicy"] = {
            "whenDeleted": "Retain" if is_kept else "Delete",
            "whenScaled": "Retain",
        }
        spec["volumeClaimTemplates"] = [_build_claim(context, component, storage)]
    return build_object(context, STATEFUL_SET, component, {"spec": spec})


def _build_claim(context: Context, component: str, storage: StorageSpec) -> dict[str, Any]:
    claim: dict[str, Any] = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": storage.size}},
    }
    if storage.class_ is not None:
        claim["storageClassName"] = storage.class_
    return {
        # A claim template is immutable, so these labels must be the ones that never change.
        "metadata": {"name": DATA_VOLUME, "labels": labels(context.name, component)},
        "spec": claim,
    }


def credentials_volume(context: Context, *files: tuple[str, str]) -> dict[str, Any]:
    """Return one volume with single keys of Secrets, each as ``<component>/<key>``."""
    sources = [
        {
            "secret": {
                "name": context.child(component),
                "items": [{"key": key, "path": f"{component}/{key}"}],
            }
        }
        for component, key in files
    ]
    return {"name": CREDENTIALS_VOLUME, "projected": {"defaultMode": 0o440, "sources": sources}}
