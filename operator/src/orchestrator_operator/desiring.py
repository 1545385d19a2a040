"""The whole of what a resource should have, in the order in which it is applied.

Pure: the same context and gates give the same plan. A step that has to wait
is still part of the plan, so what it describes is never taken for superfluous
and pruned; the old object runs on.

Before: ``reconciling`` knows the context and what is ready.
After: ``acting`` applies the steps and prunes what no step describes.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from orchestrator_operator import names
from orchestrator_operator.kinds import Manifest
from orchestrator_operator.manifests.api import build_api, build_api_service
from orchestrator_operator.manifests.context import Context
from orchestrator_operator.manifests.credentials import build_secrets
from orchestrator_operator.manifests.disruption import build_disruption_budgets
from orchestrator_operator.manifests.edge import build_edge
from orchestrator_operator.manifests.ingress import build_ingress
from orchestrator_operator.manifests.migration import build_migration
from orchestrator_operator.manifests.monitoring import build_pod_monitors
from orchestrator_operator.manifests.network import build_network_policies
from orchestrator_operator.manifests.postgres import build_postgres
from orchestrator_operator.manifests.rabbitmq import build_rabbitmq
from orchestrator_operator.manifests.redis import build_redis
from orchestrator_operator.manifests.worker import build_new_worker, build_worker

ObjectKey = tuple[str, str]
"""Kind and name; all children are in the resource's namespace."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gates:
    """What has to be true before later steps make sense."""

    is_postgres_ready: bool
    has_migration_job: bool
    """A Job that exists is applied whatever Postgres does: nothing changes then."""
    is_migrated: bool
    is_api_address_known: bool
    has_workers: bool
    """Those of an older version run on, and are scaled, while a newer one waits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One object to apply, or to leave as it is until something else is ready."""

    component: str
    manifest: Manifest
    waits_for: str = ""
    """What it waits for, as the end of a sentence; empty when it can be applied."""
    birth: Manifest | None = None
    """What to apply instead while there is no such object; None for the manifest itself."""

    @property
    def key(self) -> ObjectKey:
        """Kind and name of the object."""
        return key_of(self.manifest)


@dataclass(frozen=True, slots=True)
class Plan:
    """All steps, in order, and whether workers are scaled meanwhile."""

    steps: tuple[Step, ...]
    may_scale: bool

    @property
    def keys(self) -> frozenset[ObjectKey]:
        """Everything that should exist, now or soon."""
        return frozenset(step.key for step in self.steps)

    def waits(self) -> dict[str, str]:
        """Return which components wait, and for what."""
        return {step.component: step.waits_for for step in self.steps if step.waits_for}


def key_of(manifest: Manifest) -> ObjectKey:
    """Return kind and name of an object."""
    return manifest["kind"], manifest["metadata"]["name"]


def desired(context: Context, gates: Gates) -> Plan:
    """Return what should be: every object, and what may not be applied yet."""
    may_migrate = gates.is_postgres_ready or gates.has_migration_job
    for_postgres = "" if may_migrate else "Postgres to be ready"
    for_migration = "" if gates.is_migrated else "the migration to complete"
    for_address = "" if gates.is_api_address_known else "the API's Service to have an address"
    return Plan(
        (
            *_steps("credentials", build_secrets(context)),
            # Policies come first, so that no pod ever runs without its own.
            *_steps("network", build_network_policies(context)),
            *_build_stores(context),
            *_steps(names.MIGRATION, [build_migration(context)], for_postgres),
            *_steps(names.API, [build_api_service(context)]),
            *_steps(names.API, [build_api(context)], for_migration),
            *_steps(names.EDGE, build_edge(context), for_address),
            *_steps(names.EDGE, build_ingress(context)),
            Step(
                component=names.WORKER,
                manifest=build_worker(context),
                waits_for=for_migration,
                birth=build_new_worker(context),
            ),
            *_steps("disruption", build_disruption_budgets(context)),
            *_steps("monitoring", build_pod_monitors(context)),
        ),
        may_scale=gates.is_migrated or gates.has_workers,
    )


def _build_stores(context: Context) -> list[Step]:
    """Return the stores that the operator runs."""
    spec = context.spec
    postgres, redis, rabbitmq = spec.postgres.managed, spec.redis.managed, spec.rabbitmq.managed
    return [
        *_steps(names.POSTGRES, build_postgres(context, postgres) if postgres else ()),
        *_steps(names.REDIS, build_redis(context, redis) if redis else ()),
        *_steps(names.RABBITMQ, build_rabbitmq(context, rabbitmq) if rabbitmq else ()),
    ]


def _steps(component: str, manifests: Iterable[Manifest], waits_for: str = "") -> list[Step]:
    return [
        Step(component=component, manifest=manifest, waits_for=waits_for) for manifest in manifests
    ]
