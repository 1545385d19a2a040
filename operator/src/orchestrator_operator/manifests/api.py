"""The API: accepts tasks, reports on them and publishes what is due.

Before: the migration Job is through.
After: ``edge`` forwards to this Service.
"""

import json
from typing import Any

from orchestrator_operator import names
from orchestrator_operator.allowances import RateLimit, RateLimitPreset
from orchestrator_operator.kinds import DEPLOYMENT, SERVICE, Manifest
from orchestrator_operator.manifests.application import (
    EDGE_KEY,
    JWT_KEY,
    METRICS,
    METRICS_PORT,
    application_mounts,
    application_volumes,
    credentials_hash,
    keys_environment,
    stores_environment,
    stores_files,
)
from orchestrator_operator.manifests.bucket import (
    bucket_environment,
    bucket_mounts,
    bucket_volumes,
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
    with_template,
)
from orchestrator_operator.manifests.tracing import tracing_environment
from orchestrator_operator.quantities import to_number, to_seconds

API_PORT = 8080
HTTP = "http"
SERVICE_PORT = 80
BODY_LIMIT_BYTES = 10 << 20
"""Stated, because the edge refuses longer bodies before the API sees them."""
POOLED_CONNECTIONS = 8
DATABASE_CONNECTIONS = POOLED_CONNECTIONS + 1
"""Of one pod: its pool, stated because the autoscaler counts with it, and one that listens."""
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
                "template": with_template(_build_pod(context), context.spec.api.template),
            }
        },
    )


def _build_pod(context: Context) -> dict[str, Any]:
    keys = (*stores_files(context), JWT_KEY, EDGE_KEY)
    given = context.credentials
    server = build_container(
        names.API,
        context.images.api,
        env=to_environment(_environment(context)),
        ports=[
            {"name": HTTP, "containerPort": API_PORT, "protocol": "TCP"},
            {"name": METRICS, "containerPort": METRICS_PORT, "protocol": "TCP"},
        ],
        resources=context.spec.api.resources.to_manifest(),
        volumeMounts=[*application_mounts(), *bucket_mounts(context)],
        lifecycle={"preStop": {"sleep": {"seconds": SECONDS_TO_LEAVE_THE_SERVICE}}},
        **build_probes(http_get("/readyz", HTTP), alive=http_get("/livez", HTTP)),
    )
    return build_pod(
        context,
        names.API,
        uid=OWN_IMAGES_UID,
        containers=[server],
        volumes=[
            *application_volumes(context, keys, tmp_size_limit="256Mi"),
            *bucket_volumes(context),
        ],
        config_hash=credentials_hash(context, given.jwt_secret, given.edge_key),
        shareProcessNamespace=True,  # as in ``worker``: SIGTERM counts from the first moment
        topologySpreadConstraints=spread_over_nodes(context, names.API),
        terminationGracePeriodSeconds=30,
    )


def _environment(context: Context) -> dict[str, str | int]:
    api = context.spec.api
    return {
        **stores_environment(context),
        **keys_environment(),
        "APP_PORT": API_PORT,
        "ORCHESTRATOR_API_DB_CONNECTIONS": POOLED_CONNECTIONS,
        "ORCHESTRATOR_API_ACCESS_TOKEN_TTL_SECONDS": to_seconds(api.access_token_ttl),
        "ORCHESTRATOR_API_REFRESH_TOKEN_TTL_SECONDS": to_seconds(api.refresh_token_ttl),
        "ORCHESTRATOR_API_RATE_LIMITS": _rate_limits(context),
        # While Redis is away, each replica counts alone and lets its share through.
        "ORCHESTRATOR_API_REPLICAS": api.replicas,
        "ORCHESTRATOR_API_BODY_LIMIT_BYTES": BODY_LIMIT_BYTES,
        "ORCHESTRATOR_API_FILE_LIMIT_BYTES": file_limit_bytes(context),
        "ORCHESTRATOR_API_FILE_QUOTA_BYTES": int(to_number(api.files.quota)),
        "ORCHESTRATOR_API_FILE_TTL_SECONDS": to_seconds(api.files.ttl),
        "ORCHESTRATOR_API_METRICS_PORT": METRICS_PORT,
        **bucket_environment(context),
        **tracing_environment(context),
    }


def file_limit_bytes(context: Context) -> int:
    """Return how large one uploaded file may be."""
    return int(to_number(context.spec.api.files.max_size))


def _rate_limits(context: Context) -> str:
    """Return the limits as the API reads them: one JSON object."""
    limits = context.spec.api.rate_limit
    own = {limit.username: _rate_limit(limit) for limit in limits.users}
    value = {"users": _rate_limit(limits), "auth": _rate_limit(limits.auth), "by_username": own}
    return json.dumps(value, sort_keys=True)


def _rate_limit(limit: RateLimit) -> dict[str, str | int]:
    if limit.capacity is not None and limit.refill_per_minute is not None:
        return {"capacity": limit.capacity, "refill_per_minute": limit.refill_per_minute}
    return {"preset": (limit.preset or RateLimitPreset.MODERATE).value}
