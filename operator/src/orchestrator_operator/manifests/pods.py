"""What every pod has in common: the Pod Security level ``restricted``, probes, volumes.

Before: the builders of each part describe what is theirs.
After: pod templates that a namespace enforcing ``restricted`` admits.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator_operator import names
from orchestrator_operator.manifests.context import Context
from orchestrator_operator.outside import SecretReference
from orchestrator_operator.templates import PodTemplate, TemplateMetadata, TemplateSpec

OWN_IMAGES_UID = 10001
NGINX_UID = 101
STORE_UID = 999
"""Postgres, Redis and RabbitMQ have the same one in their official images."""

STARTUP_PROBE = {"periodSeconds": 1, "timeoutSeconds": 3, "failureThreshold": 300}
"""Looks each second, so that a pod counts as soon as it can; five minutes for a slow disk."""
READINESS_PROBE = {"periodSeconds": 3, "timeoutSeconds": 3, "failureThreshold": 2}
LIVENESS_PROBE = {"periodSeconds": 10, "timeoutSeconds": 5, "failureThreshold": 6}
"""A minute of silence: restarting a process that is only busy makes a bad time worse."""


def build_probes(
    check: Mapping[str, Any], *, alive: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return the three probes of a container.

    Args:
        check: says that it serves.
        alive: says that it is not stuck, without asking what it depends on.
    """
    living = alive or check
    return {
        "startupProbe": {**living, **STARTUP_PROBE},
        "readinessProbe": {**check, **READINESS_PROBE},
        "livenessProbe": {**living, **LIVENESS_PROBE},
    }


def build_container(name: str, image: str, **fields: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """Return a container that ``restricted`` admits, with a root filesystem it can't write."""
    return {
        "name": name,
        "image": image,
        # A tag names one content here; a local node has no registry to ask again.
        "imagePullPolicy": "IfNotPresent",
        **{key: value for key, value in fields.items() if value},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        # The last words of a failed container, for the resource's status.
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }


def build_pod(
    context: Context,
    component: str,
    *,
    uid: int,
    containers: Sequence[Mapping[str, Any]],
    config_hash: str = "",
    **fields: Any,  # noqa: ANN401 - more of a PodSpec: volumes, initContainers, …
) -> dict[str, Any]:
    """Return a pod template of a component."""
    metadata: dict[str, Any] = {"labels": names.labels(context.name, component)}
    if config_hash:
        metadata["annotations"] = {names.CONFIG_HASH_ANNOTATION: config_hash}
    spec: dict[str, Any] = {
        "automountServiceAccountToken": False,
        # Otherwise a Service called "db" anywhere near would set DB_PORT to "tcp://…".
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": uid,
            "runAsGroup": uid,
            "fsGroup": uid,
            # Changing all of a database's files at each start takes minutes, and opens Erlang's
            # cookie to the group, which Erlang refuses.
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        **_pull_secrets(context),
        **fields,
        "containers": list(containers),
    }
    return {"metadata": metadata, "spec": spec}


def _pull_secrets(context: Context) -> dict[str, Any]:
    named = [{"name": secret.name} for secret in context.spec.images.pull_secrets]
    return {"imagePullSecrets": named} if named else {}


def with_template(pod: Mapping[str, Any], template: PodTemplate) -> dict[str, Any]:
    """Return a pod template of ours with what the users add; where both say something, ours stays.

    Variables are for the containers that do the work, not for those that prepare it.
    """
    if template.is_empty():
        return dict(pod)
    metadata = template.metadata or TemplateMetadata()
    spec = (template.spec or TemplateSpec()).model_dump(
        mode="json", by_alias=True, exclude_none=True, exclude_defaults=True
    )
    labels = {**(metadata.labels or {}), **pod["metadata"]["labels"]}
    annotations = {**(metadata.annotations or {}), **pod["metadata"].get("annotations", {})}
    return {
        "metadata": {"labels": labels, **({"annotations": annotations} if annotations else {})},
        "spec": {
            **spec,
            **pod["spec"],
            "containers": [_with_variables(each, template) for each in pod["spec"]["containers"]],
        },
    }


def _with_variables(container: Mapping[str, Any], template: PodTemplate) -> dict[str, Any]:
    ours = container.get("env", [])
    taken = {variable["name"] for variable in ours}
    added = [
        variable.model_dump(mode="json", by_alias=True, exclude_none=True)
        for variable in template.env
        if variable.name not in taken
    ]
    return {**container, "env": [*ours, *added]}


def spread_over_nodes(context: Context, component: str) -> list[dict[str, Any]]:
    """Return constraints that keep a component's pods apart where there is more than one node."""
    return [
        {
            "maxSkew": 1,
            "topologyKey": "kubernetes.io/hostname",
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": context.selector(component)},
        }
    ]


def http_get(path: str, port: str) -> dict[str, Any]:
    """Return the check of a probe over HTTP."""
    return {"httpGet": {"path": path, "port": port}}


def tcp_connect(port: str) -> dict[str, Any]:
    """Return the check of a probe that only connects."""
    return {"tcpSocket": {"port": port}}


def mount(volume: str, path: str, *, file: str = "", is_read_only: bool = False) -> dict[str, Any]:
    """Return a volume's mount; ``file`` mounts that one file of it."""
    fields: dict[str, Any] = {"name": volume, "mountPath": path}
    if file:
        fields["subPath"] = file
    if is_read_only:
        fields["readOnly"] = True
    return fields


def empty_volume(name: str, *, size_limit: str) -> dict[str, Any]:
    """Return a volume that lives as long as its pod."""
    return {"name": name, "emptyDir": {"sizeLimit": size_limit}}


def secret_files(
    name: str, *given: tuple[SecretReference | None, Sequence[str]]
) -> list[dict[str, Any]]:
    """Return the volume with these keys of Secrets that users own; none if none are named."""
    sources = [
        {"secret": {"name": ref.name, "items": [{"key": key, "path": key} for key in keys]}}
        for ref, keys in given
        if ref is not None
    ]
    if not sources:
        return []
    return [{"name": name, "projected": {"defaultMode": 0o440, "sources": sources}}]


def to_environment(values: Mapping[str, str | int]) -> list[dict[str, Any]]:
    """Return plain environment variables, in the order given."""
    return [{"name": name, "value": str(value)} for name, value in values.items()]
