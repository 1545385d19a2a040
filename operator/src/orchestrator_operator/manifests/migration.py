"""The migration Job: brings the database to what API and worker expect.

Named by what it is for, the two images and the database, so that
another of these means another Job, and the old one is pruned. The API's image
changes the schema; then the worker's image writes the types it can run, so that
the API knows them even while no worker is there.

Before: Postgres is ready.
After: API and workers are applied once this is complete; until then the old ones run on.
"""

from typing import Any

from orchestrator_operator import names
from orchestrator_operator.kinds import JOB, Manifest
from orchestrator_operator.manifests.application import (
    application_mounts,
    application_volumes,
    postgres_environment,
    postgres_files,
)
from orchestrator_operator.manifests.context import Context, build_object, hash_of
from orchestrator_operator.manifests.pods import (
    OWN_IMAGES_UID,
    build_container,
    build_pod,
    to_environment,
    with_template,
)

JOB_HASH_LENGTH = 8
RETRIES = 3
"""Each waits twice as long as the one before, from 10 s on; then the Job has failed."""
LONGEST_RUN_SECONDS = 3600


def migration_name(context: Context) -> str:
    """Return the Job's name for these images and this volume."""
    return context.child(names.MIGRATION) + _suffix(context)


def _suffix(context: Context) -> str:
    digest = hash_of(context.images.api, context.images.worker, context.database_identity)
    return f"-{digest[:JOB_HASH_LENGTH]}"


def build_migration(context: Context) -> Manifest:
    """Return the Job."""
    body = {
        "spec": {
            "backoffLimit": RETRIES,
            "activeDeadlineSeconds": LONGEST_RUN_SECONDS,
            "template": with_template(_build_pod(context), context.spec.api.template),
        }
    }
    return build_object(context, JOB, names.MIGRATION, body, suffix=_suffix(context))


def _build_pod(context: Context) -> dict[str, Any]:
    shared: dict[str, Any] = {
        "env": to_environment(postgres_environment(context)),
        "volumeMounts": application_mounts(),
    }
    return build_pod(
        context,
        names.MIGRATION,
        uid=OWN_IMAGES_UID,
        initContainers=[
            build_container(
                names.MIGRATION,
                context.images.api,
                command=["python", "-m", "orchestrator_api", "migrate"],
                resources=context.spec.api.resources.to_manifest(),
                **shared,
            )
        ],
        containers=[
            build_container(
                "publish-types",
                context.images.worker,
                command=["python", "-m", "orchestrator_worker", "publish-types"],
                resources=context.spec.worker.resources.to_manifest(),
                **shared,
            )
        ],
        volumes=application_volumes(context, postgres_files(context), tmp_size_limit="64Mi"),
        restartPolicy="Never",
    )
