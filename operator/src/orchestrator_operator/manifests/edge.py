"""The edge: nginx, which limits requests by client address before they reach the API.

The upstream is the address of the API's Service, not its name: nginx resolves
a name once, at its start, and a Service that was deleted and came back has a new
address. As it is, the new address changes the configuration, and that rolls the pods.

Before: the API's Service has an address.
After: clients.
"""

import re
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from orchestrator_operator import names
from orchestrator_operator.kinds import CONFIG_MAP, DEPLOYMENT, SERVICE, Manifest
from orchestrator_operator.manifests.api import (
    BODY_LIMIT_BYTES,
    HTTP,
    SECONDS_TO_LEAVE_THE_SERVICE,
    SERVICE_PORT,
    build_front_service,
    file_limit_bytes,
)
from orchestrator_operator.manifests.context import Context, build_object, hash_of
from orchestrator_operator.manifests.credentials import EDGE_TOKEN_LINE
from orchestrator_operator.manifests.pods import (
    NGINX_UID,
    build_container,
    build_pod,
    build_probes,
    empty_volume,
    http_get,
    mount,
    spread_over_nodes,
)
from orchestrator_operator.manifests.stores import (
    CREDENTIALS_ROOT,
    CREDENTIALS_VOLUME,
    credentials_volume,
)

EDGE_PORT = 8080
CONFIG_FOLDER = "/etc/nginx/orchestrator"
CONFIG_FILE = "nginx.conf"

NGINX_CONFIG = files("orchestrator_operator.manifests").joinpath("nginx.conf").read_text("utf-8")


def build_edge(context: Context) -> list[Manifest]:
    """Return ConfigMap, Deployment and Service."""
    config = {CONFIG_FILE: render_config(context)}
    type_ = context.spec.edge.service.type.value
    return [
        build_object(context, CONFIG_MAP, names.EDGE, {"data": config}),
        _build_deployment(context, config),
        build_object(
            context,
            SERVICE,
            names.EDGE,
            build_front_service(context, names.EDGE, type_, target_port=HTTP),
        ),
    ]


def render_config(context: Context) -> str:
    """Return nginx.conf with the API's address; without one there is nothing to forward to."""
    address = context.api_cluster_ip or "127.0.0.1"
    host = f"[{address}]" if ":" in address else address
    values = {
        "UPSTREAM": f"{host}:{SERVICE_PORT}",
        "BODY_LIMIT_BYTES": str(BODY_LIMIT_BYTES),
        "FILE_LIMIT_BYTES": str(file_limit_bytes(context)),
        "TRUSTED_PROXIES": _trust(context.spec.edge.trusted_proxies),
        "TOKEN_FILE": f"{CREDENTIALS_ROOT}/{names.EDGE}/{EDGE_TOKEN_LINE}",
    }
    # An unknown name is an error here, not a word that nginx would stumble over.
    return re.sub(r"%(\w+)%", lambda found: values[found[1]], NGINX_CONFIG)


def _trust(blocks: Sequence[str]) -> str:
    """Return the lines by which nginx believes these about their clients' addresses."""
    if not blocks:
        return ""
    trusted = "".join(f"  set_real_ip_from {block};\n" for block in blocks)
    # The last address that no trusted proxy has is the client's; what it claims itself is before.
    return f"{trusted}  real_ip_header X-Forwarded-For;\n  real_ip_recursive on;\n"


def _build_deployment(context: Context, config: dict[str, str]) -> Manifest:
    return build_object(
        context,
        DEPLOYMENT,
        names.EDGE,
        {
            "spec": {
                "replicas": context.spec.edge.replicas,
                "revisionHistoryLimit": 3,
                "selector": {"matchLabels": context.selector(names.EDGE)},
                "strategy": {
                    "type": "RollingUpdate",
                    "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0},
                },
                "template": _build_pod(context, config),
            }
        },
    )


def _build_pod(context: Context, config: dict[str, str]) -> dict[str, Any]:
    nginx = build_container(
        "nginx",
        context.images.nginx,
        command=["nginx", "-c", f"{CONFIG_FOLDER}/{CONFIG_FILE}", "-g", "daemon off;"],
        ports=[{"name": HTTP, "containerPort": EDGE_PORT, "protocol": "TCP"}],
        resources=context.spec.edge.resources.to_manifest(),
        volumeMounts=[
            mount("config", CONFIG_FOLDER, is_read_only=True),
            mount(CREDENTIALS_VOLUME, CREDENTIALS_ROOT, is_read_only=True),
            mount("tmp", "/tmp"),  # noqa: S108 - a path in the pod
        ],
        lifecycle={"preStop": {"sleep": {"seconds": SECONDS_TO_LEAVE_THE_SERVICE}}},
        **build_probes(http_get("/livez", HTTP)),
    )
    return build_pod(
        context,
        names.EDGE,
        uid=NGINX_UID,
        containers=[nginx],
        volumes=[
            {"name": "config", "configMap": {"name": context.child(names.EDGE)}},
            credentials_volume(context, (names.EDGE, EDGE_TOKEN_LINE)),
            empty_volume("tmp", size_limit="512Mi"),
        ],
        config_hash=hash_of(config, context.credentials.edge_key),
        topologySpreadConstraints=spread_over_nodes(context, names.EDGE),
        terminationGracePeriodSeconds=90,
    )
