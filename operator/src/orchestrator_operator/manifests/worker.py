"""The workers: claim tasks, run them, settle them. How many there are is not said here.

``spec.replicas`` belongs to the autoscaler, so this manifest has none. A new
Deployment would then start with one pod, so it is created once with the
number it should have, on the autoscaler's behalf (``build_new_worker``).

Before: the migration Job is through.
After: ``scaling`` writes the replicas; ``reconciling`` applies the rest.
"""

import copy
from typing import Any

from orchestrator_operator import names
from orchestrator_operator.kinds import DEPLOYMENT, Manifest
from orchestrator_operator.manifests.application import (
    METRICS,
    METRICS_PORT,
    application_mounts,
    application_volumes,
    credentials_hash,
    stores_environment,
    stores_files,
)
from orchestrator_operator.manifests.bucket import (
    bucket_environment,
    bucket_mounts,
    bucket_volumes,
)
from orchestrator_operator.manifests.context import Context, build_object
from orchestrator_operator.manifests.mail import mail_environment, mail_mounts, mail_volumes
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
from orchestrator_operator.quantities import to_seconds
from orchestrator_operator.spec import WorkerSpec

HEALTH_PORT = 8081
HEALTH = "health"
SECONDS_BEYOND_THE_TASK = 30
"""What a pod may take beyond a task's own limit, to settle it and to close connections."""
LONGEST_GRACE_SECONDS = 3600
"""A node that is drained must end some day; what runs longer is handed back, for no attempt."""
SECONDS_TO_HAND_BACK = 15


def grace_seconds(worker: WorkerSpec) -> int:
    """Return how long a worker pod may take to go."""
    return min(to_seconds(worker.task_timeout) + SECONDS_BEYOND_THE_TASK, LONGEST_GRACE_SECONDS)


def build_worker(context: Context) -> Manifest:
    """Return the Deployment of the workers, without replicas."""
    return build_object(
        context,
        DEPLOYMENT,
        names.WORKER,
        {
            "spec": {
                "revisionHistoryLimit": 3,
                "selector": {"matchLabels": context.selector(names.WORKER)},
                "strategy": {
                    "type": "RollingUpdate",
                    "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 0},
                },
                "template": with_template(_build_pod(context), context.spec.worker.template),
            }
        },
    )


def build_new_worker(context: Context) -> Manifest:
    """Return the same with the replicas to start with."""
    deployment = copy.deepcopy(build_worker(context))
    deployment["spec"]["replicas"] = context.initial_workers
    return deployment


def _build_pod(context: Context) -> dict[str, Any]:
    worker = build_container(
        names.WORKER,
        context.images.worker,
        env=[
            *to_environment(_environment(context)),
            {
                "name": "ORCHESTRATOR_WORKER_POD_NAME",
                "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}},
            },
        ],
        ports=[
            {"name": HEALTH, "containerPort": HEALTH_PORT, "protocol": "TCP"},
            {"name": METRICS, "containerPort": METRICS_PORT, "protocol": "TCP"},
        ],
        resources=context.spec.worker.resources.to_manifest(),
        volumeMounts=[*application_mounts(), *bucket_mounts(context), *mail_mounts(context)],
        **build_probes(http_get("/readyz", HEALTH), alive=http_get("/livez", HEALTH)),
    )
    return build_pod(
        context,
        names.WORKER,
        uid=OWN_IMAGES_UID,
        containers=[worker],
        volumes=[
            *application_volumes(context, stores_files(context), tmp_size_limit="4Gi"),
            *bucket_volumes(context),
            *mail_volumes(context),
        ],
        config_hash=credentials_hash(context),
        # As process 1 of its own namespace, Python would ignore SIGTERM until it has set up its
        # handlers: a worker that is told to go while it starts would stay for its whole grace.
        shareProcessNamespace=True,
        topologySpreadConstraints=spread_over_nodes(context, names.WORKER),
        terminationGracePeriodSeconds=grace_seconds(context.spec.worker),
    )


def _environment(context: Context) -> dict[str, str | int]:
    worker = context.spec.worker
    return {
        **stores_environment(context),
        "ORCHESTRATOR_WORKER_CONCURRENCY": worker.concurrency,
        "ORCHESTRATOR_WORKER_TASK_TIMEOUT_SECONDS": to_seconds(worker.task_timeout),
        "ORCHESTRATOR_WORKER_DRAIN_SECONDS": grace_seconds(worker) - SECONDS_TO_HAND_BACK,
        "ORCHESTRATOR_WORKER_HEALTH_PORT": HEALTH_PORT,
        "ORCHESTRATOR_WORKER_METRICS_PORT": METRICS_PORT,
        "ORCHESTRATOR_WORKER_RESULT_TTL_SECONDS": to_seconds(context.spec.results.ttl),
        "ORCHESTRATOR_WORKER_SOURCE_URLS": worker.source_urls,
        **bucket_environment(context),
        **tracing_environment(context),
        **mail_environment(context),
    }
