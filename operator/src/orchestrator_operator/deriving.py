"""From what was observed to what builders and plans need to know: pure functions.

Before: ``reconciling`` has observed the children.
After: ``manifests`` take the ``Context``, ``desiring`` takes the ``Gates``.
"""

from collections.abc import Mapping

from orchestrator_operator import names
from orchestrator_operator.bindings import Binding
from orchestrator_operator.desiring import Gates
from orchestrator_operator.images import ResolvedImages
from orchestrator_operator.kinds import POD_MONITOR, Manifest
from orchestrator_operator.manifests.context import Context, Credentials
from orchestrator_operator.manifests.migration import migration_name
from orchestrator_operator.manifests.stores import DATA_VOLUME
from orchestrator_operator.observing import Observed
from orchestrator_operator.spec import OrchestratorSpec, ScalingMode
from orchestrator_operator.workloads import is_complete, is_serving


def derive_context(  # noqa: PLR0913 - each is a fact of another source
    resource: Manifest,
    spec: OrchestratorSpec,
    observed: Observed,
    *,
    images: ResolvedImages,
    credentials: Credentials,
    operator_namespace: str,
    pod_monitor_labels: Mapping[str, str],
    desired_workers: int | None,
) -> Context:
    """Return all that builders may know about one resource.

    Args:
        resource: as read at the beginning of the pass.
        spec: its spec, which keeps every rule.
        observed: its children.
        images: what to run.
        credentials: the random values of its Secrets.
        operator_namespace: where this process runs.
        pod_monitor_labels: by which a Prometheus selects PodMonitors.
        desired_workers: what the autoscaler last wanted, if it runs.
    """
    name = resource["metadata"]["name"]
    return Context(
        name=name,
        namespace=resource["metadata"]["namespace"],
        uid=resource["metadata"]["uid"],
        spec=spec,
        images=images,
        credentials=credentials,
        operator_namespace=operator_namespace,
        api_cluster_ip=_cluster_ip(observed.child("Service", names.child(name, names.API))),
        database_identity=_database_identity(name, spec, observed, credentials.postgres),
        knows_pod_monitors=POD_MONITOR.kind not in observed.unknown_kinds,
        pod_monitor_labels=pod_monitor_labels,
        initial_workers=first_workers(spec) if desired_workers is None else desired_workers,
    )


def derive_gates(resource: Manifest, context: Context, observed: Observed) -> Gates:
    """Return which gates of the plan are open.

    A migration that status knows to be done counts even while its Job is not there: somebody who
    deletes the Job, and then the API, should have the API back at once.
    """
    name = migration_name(context)
    done = (resource.get("status") or {}).get("migration")
    job = observed.child("Job", name)
    postgres = observed.child("StatefulSet", context.child(names.POSTGRES))
    return Gates(
        # Whether somebody else's is ready, the migration finds out.
        is_postgres_ready=context.is_external(names.POSTGRES) or is_serving(postgres),
        has_migration_job=job is not None,
        is_migrated=is_complete(job) or done == name,
        is_api_address_known=context.api_cluster_ip is not None,
        has_workers=observed.child("Deployment", context.child(names.WORKER)) is not None,
    )


def first_workers(spec: OrchestratorSpec) -> int:
    """Return how many workers a new Deployment starts with."""
    scaling = spec.worker.scaling
    return scaling.min if scaling.mode is ScalingMode.AUTOMATIC else spec.worker.replicas


def _database_identity(
    name: str, spec: OrchestratorSpec, observed: Observed, postgres: Binding
) -> str | None:
    if spec.postgres.external is not None:
        return f"{postgres.host}:{postgres.port}/{postgres.place}"
    claim = f"{DATA_VOLUME}-{names.child(name, names.POSTGRES)}-0"
    uids = [
        str(found["metadata"]["uid"])
        for found in observed.claims
        if found["metadata"]["name"] == claim
    ]
    return uids[0] if uids else None


def _cluster_ip(service: Manifest | None) -> str | None:
    address = (service or {}).get("spec", {}).get("clusterIP")
    return None if address in {None, "", "None"} else str(address)
