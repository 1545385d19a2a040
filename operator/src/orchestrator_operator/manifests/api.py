"""The API: accepts tasks, reports on them and publishes what is due.

Before: the migration Job is through.
After: ``edge`` forwards to this Service.
"""

from typing import Any

from orchestrator_operator import names
from orchestrator_operator.kinds import DEPLOYMENT, SERVICE, Manifest
from orchestrator_operator.manifests.application import (
    JWT_KEY,
    POSTGRES_KEY,
    RABBITMQ_KEY,
    REDIS_KEY,
    application_mounts,
    application_volumes,
    credentials_hash,
    jwt_environment,
    stores_environment,
)
from orchestrator_operator.manifests.context import Context, build_object
from orchestrator_operator.manifests.pods import (
    OWN_IMAGES_UID,
    build_container,
    build_pod,
    build_probes,
    http_get,
    spread_over_nodes,
    to_environment,
)
from orchestrator_operator.quantities import to_seconds

API_PORT = 8080
HTTP = "http"
SERVICE_PORT = 80
DATABASE_CONNECTIONS = 8
"""Stated, because the autoscaler counts with it."""
SECONDS_TO_LEAVE_THE_SERVICE = 5
"""Proxies hear of a leaving pod a moment later than the pod itself; until then it serves on."""


def build_api_service(context: Context) -> Manifest:
    """Return the Service of the API."""
    body = build_front_service(
        context, names.API, context.spec.api.service.type.value, target_port=HTTP
    )
    return build_object(context, SERVICE, names.API, body)


def build_front_service(
    context: Context, component: str, type_: str, *, target_port: str
) -> dict[str, Any]:
    """Return the body of a Service that clients use, inside the cluster or from outside."""
    spec: dict[str, Any] = {
        "type": type_,
        "selector": context.selector(component),
        "ports": [
            {"name": HTTP, "port": SERVICE_PORT, "targetPort": target_port, "protocol": "TCP"}
        ],
    }
    if type_ == "LoadBalancer":
        # Otherwise every client would have a node's address, and share its rate limit.
        spec["externalTrafficPolicy"] = "Local"
    return {"spec": spec}


def build_api(context: Context) -> Manifest:
    """Return the Deployment of the API."""
    return build_object(
        context,
        DEPLOYMENT,
        names.API,
        {
            "spec": {
                "replicas": context.spec.api.replicas,
                "revisionHistoryLimit": 3,
                "selector": {"matchLabels": context.selector(names.API)},
                "strategy": {
                    "type": "RollingUpdate",
                    "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0},
                },
                "template": _build_pod(context),
            }
        },
    )


def _build_pod(context: Context) -> dict[str, Any]:
    keys = (POSTGRES_KEY, REDIS_KEY, RABBITMQ_KEY, JWT_KEY)
    server = build_container(
        names.API,
        context.images.api,
        env=to_environment(_environment(context)),
        ports=[{"name": HTTP, "containerPort": API_PORT, "protocol": "TCP"}],
        resources=context.spec.api.resources.to_manifest(),
        volumeMounts=application_mounts(),
        lifecycle={"preStop": {"sleep": {"seconds": SECONDS_TO_LEAVE_THE_SERVICE}}},
        **build_probes(http_get("/readyz", HTTP), alive=http_get("/livez", HTTP)),
    )
    return build_pod(
        context,
        names.API,
        uid=OWN_IMAGES_UID,
        containers=[server],
        volumes=application_volumes(context, keys, tmp_size_limit="256Mi"),
        config_hash=credentials_hash(context, with_jwt=True),
        shareProcessNamespace=True,  # as in ``worker``: SIGTERM counts from the first moment
        topologySpreadConstraints=spread_over_nodes(context, names.API),
        terminationGracePeriodSeconds=30,
    )


def _environment(context: Context) -> dict[str, str | int]:
    api = context.spec.api
    return {
        **stores_environment(context),
        **jwt_environment(),
        "APP_PORT": API_PORT,
        "ORCHESTRATOR_API_DB_CONNECTIONS": DATABASE_CONNECTIONS,
        "ORCHESTRATOR_API_ACCESS_TOKEN_TTL_SECONDS": to_seconds(api.access_token_ttl),
        "ORCHESTRATOR_API_REFRESH_TOKEN_TTL_SECONDS": to_seconds(api.refresh_token_ttl),
    }
