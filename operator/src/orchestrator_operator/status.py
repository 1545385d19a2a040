"""The status of a resource: a pure function of what a pass saw and did.

Every condition follows from the objects that are there; ``Ready`` follows from
the other conditions and is stated last. Nothing is remembered but the times at
which conditions turned and the last version that ran completely.

Before: ``reconciling`` has acted.
After: it writes the result to ``/status`` if anything differs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from orchestrator_operator import names
from orchestrator_operator.autoscaling import LOAD_UNAVAILABLE
from orchestrator_operator.conditions import (
    AVAILABLE,
    DEGRADED,
    MIGRATED,
    PAUSED,
    PROGRESSING,
    READY,
    SCALING_ACTIVE,
    SCALING_LIMITED,
    Fact,
    previous_conditions,
    to_conditions,
    to_timestamp,
)
from orchestrator_operator.kinds import Manifest
from orchestrator_operator.manifests.context import Context
from orchestrator_operator.manifests.ingress import public_address
from orchestrator_operator.manifests.migration import migration_name
from orchestrator_operator.observing import Observed
from orchestrator_operator.problems import Problem
from orchestrator_operator.spec import ScalingMode
from orchestrator_operator.status_model import (
    ComponentStatus,
    Endpoints,
    OrchestratorStatus,
    VersionStatus,
    WorkerStatus,
)
from orchestrator_operator.workloads import (
    Progress,
    Trouble,
    failure_of,
    find_troubles,
    is_complete,
    last_words_of,
    progress_of,
)

READY_CONDITIONS = {
    names.POSTGRES: "PostgresReady",
    names.REDIS: "RedisReady",
    names.RABBITMQ: "RabbitMQReady",
    names.MIGRATION: MIGRATED,
    names.API: "ApiReady",
    names.EDGE: "EdgeReady",
    names.WORKER: "WorkersReady",
}
WORKLOAD_KINDS = {
    names.POSTGRES: "StatefulSet",
    names.REDIS: "StatefulSet",
    names.RABBITMQ: "StatefulSet",
    names.API: "Deployment",
    names.EDGE: "Deployment",
    names.WORKER: "Deployment",
}
NEEDED_TO_SERVE = (names.POSTGRES, names.RABBITMQ, names.API, names.EDGE)
"""Without one of these no client gets a result; Redis is soft, and workers come when needed."""


NOT_STARTED = Fact("NotStarted", "the autoscaler starts once the database is migrated", None)
SCALING_PAUSED = Fact("Paused", "while paused the number of workers is left alone", is_true=False)
NOT_LIMITED = Fact("WithinBounds", "the load asks for no more than is allowed", is_true=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingView:
    """What the autoscaler says about the workers."""

    active: Fact = NOT_STARTED
    limited: Fact = NOT_LIMITED
    desired_replicas: int | None = None
    queued_tasks: int | None = None
    """Already rounded."""
    last_scale_time: datetime | None = None
    reason: str = ""
    is_faulty: bool = False
    """Whether scaling is not active although it should be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """All that a status follows from."""

    resource: Manifest
    context: Context
    observed: Observed
    waits: Mapping[str, str]
    """Component → what it waits for."""
    problems: Sequence[Problem] = ()
    leaving: Sequence[str] = ()
    is_paused: bool = False
    scaling: ScalingView = ScalingView()
    migration_retry: str = ""
    """When a failed migration is tried again."""
    now: datetime

    def workload(self, component: str) -> Manifest | None:
        """Return a component's Deployment or StatefulSet."""
        return self.observed.child(WORKLOAD_KINDS[component], self.context.child(component))

    def progress(self, component: str) -> Progress | None:
        """Return a component's progress; None when there is no workload yet."""
        return progress_of(self.workload(component))


def build_status(situation: Situation) -> OrchestratorStatus:
    """Return the whole status."""
    metadata = situation.resource["metadata"]
    facts = state_facts(situation)
    generation = _acted_on_generation(situation)
    return OrchestratorStatus(
        observed_generation=generation,
        conditions=to_conditions(
            facts,
            previous_conditions(situation.resource),
            generation=generation or metadata["generation"],
            now=situation.now,
        ),
        version=_version(situation, is_settled=facts[READY].is_true is True),
        migration=_migration(situation),
        components=_components(situation),
        worker=_worker(situation),
        endpoints=_endpoints(situation.context),
    )


def _acted_on_generation(situation: Situation) -> int | None:
    """While paused a newer spec is seen, but not acted on, and the number says so."""
    if situation.is_paused:
        before = (situation.resource.get("status") or {}).get("observedGeneration")
        return None if before is None else int(before)
    return int(situation.resource["metadata"]["generation"])


def state_facts(situation: Situation) -> dict[str, Fact]:
    """Return every fact, ``Ready`` last."""
    observed = situation.observed
    found = find_troubles(observed.pods, observed.children.values(), now=situation.now)
    troubles = {trouble.component: trouble for trouble in reversed(found)}
    facts = {
        condition: _component_fact(situation, component, troubles.get(component))
        for component, condition in READY_CONDITIONS.items()
    }
    facts[SCALING_ACTIVE] = SCALING_PAUSED if situation.is_paused else situation.scaling.active
    facts[SCALING_LIMITED] = situation.scaling.limited
    facts[PAUSED] = _paused(situation)
    facts[AVAILABLE] = _available(situation)
    facts[PROGRESSING] = _progressing(situation)
    facts[DEGRADED] = _degraded(situation, found, facts[MIGRATED])
    facts[READY] = _ready(facts)
    return facts


def _component_fact(situation: Situation, component: str, trouble: Trouble | None) -> Fact:
    if component == names.MIGRATION:
        return _migrated(situation, trouble)
    if situation.context.is_external(component):
        return _external(situation, component)
    return _running(situation, component, trouble)


def _running(situation: Situation, component: str, trouble: Trouble | None) -> Fact:
    waits_for = situation.waits.get(component, "")
    progress = situation.progress(component)
    if progress is None:
        message = f"waits for {waits_for}" if waits_for else "is being created"
        return Fact(is_true=False, reason="Waiting" if waits_for else "Creating", message=message)
    counted = f"{progress.ready} of {progress.desired} pods are ready"
    is_enough = progress.ready >= _needed(situation, component, progress)
    if trouble is not None and not (is_enough and progress.is_settled):
        return Fact(is_true=False, reason=trouble.reason, message=f"{counted}; {trouble.message}")
    if not is_enough:
        return Fact(is_true=False, reason="Starting", message=counted)
    if progress.desired == 0:
        return Fact(is_true=True, reason="ScaledToZero", message="there is nothing to do")
    return Fact(is_true=True, reason="Running", message=counted)


def _external(situation: Situation, component: str) -> Fact:
    """State what is known of a store that somebody else runs: whether we can read of Postgres."""
    if component == names.POSTGRES and situation.scaling.active.reason == LOAD_UNAVAILABLE:
        told = situation.scaling.active.message
        return Fact(is_true=False, reason="Unreachable", message=told)
    return Fact(is_true=True, reason="External", message="somebody else runs it")


def _needed(situation: Situation, component: str, progress: Progress) -> int:
    """Return how many pods must be ready; workers come and go without making it unready."""
    worker = situation.context.spec.worker
    if component == names.WORKER and worker.scaling.mode is ScalingMode.AUTOMATIC:
        return min(worker.scaling.min, progress.desired)
    return progress.desired


def _migrated(situation: Situation, trouble: Trouble | None) -> Fact:
    waits_for = situation.waits.get(names.MIGRATION, "")
    job = situation.observed.child("Job", migration_name(situation.context))
    if is_complete(job):
        return Fact(is_true=True, reason="Migrated", message="the database is what the images need")
    failed = failure_of(job)
    if failed is not None:
        said = last_words_of(situation.observed.pods, names.MIGRATION)
        message = f"{failed.get('message', '')}; {said}; {situation.migration_retry}"
        return Fact(is_true=False, reason="Failed", message=message)
    if trouble is not None:
        return Fact(is_true=False, reason=trouble.reason, message=trouble.message)
    if job is None and waits_for:
        return Fact(is_true=False, reason="Waiting", message=f"waits for {waits_for}")
    return Fact(is_true=False, reason="Running", message="the migration runs")


def _paused(situation: Situation) -> Fact:
    if situation.is_paused:
        told = f"annotation {names.PAUSE_ANNOTATION} is {names.PAUSE_VALUE}: nothing is written"
        return Fact(is_true=True, reason="Asked", message=told)
    return Fact(is_true=False, reason="Reconciling", message="changes are acted on")


def _available(situation: Situation) -> Fact:
    missing = [component for component in NEEDED_TO_SERVE if not _can_serve(situation, component)]
    if missing:
        told = f"not ready: {', '.join(missing)}"
        return Fact(is_true=False, reason="NotServing", message=told)
    return Fact(is_true=True, reason="AcceptingTasks", message="clients can submit tasks")


def _can_serve(situation: Situation, component: str) -> bool:
    if situation.context.is_external(component):
        return _external(situation, component).is_true is True
    progress = situation.progress(component)
    return progress is not None and progress.ready > 0


def _progressing(situation: Situation) -> Fact:
    moving = [
        f"{component} waits for {waits_for}" for component, waits_for in situation.waits.items()
    ]
    moving += [f"{told} is being replaced" for told in situation.leaving]
    for component in WORKLOAD_KINDS:
        progress = situation.progress(component)
        if progress is not None and not _is_settled(situation, component, progress):
            moving.append(f"{component}: {progress.ready} of {progress.desired} pods are ready")
    if moving:
        return Fact(is_true=True, reason="RollingOut", message="; ".join(moving))
    return Fact(is_true=False, reason="Settled", message="everything runs as it should")


def _is_settled(situation: Situation, component: str, progress: Progress) -> bool:
    """Workers that only come or go by load are no roll-out."""
    if progress.is_settled or component != names.WORKER:
        return progress.is_settled
    workload = situation.workload(component) or {}
    status = workload.get("status") or {}
    is_current = status.get("observedGeneration", 0) >= workload["metadata"].get("generation", 0)
    are_all_new = status.get("updatedReplicas", 0) >= status.get("replicas", 0)
    return is_current and are_all_new and progress.ready >= _needed(situation, component, progress)


def _degraded(situation: Situation, troubles: Sequence[Trouble], migrated: Fact) -> Fact:
    for problem in situation.problems:
        return Fact(is_true=True, reason=problem.reason, message=problem.message)
    if migrated.reason == "Failed":
        return Fact(is_true=True, reason="MigrationFailed", message=migrated.message)
    for trouble in troubles:
        told = f"{trouble.component}: {trouble.message}"
        return Fact(is_true=True, reason=trouble.reason, message=told)
    if situation.scaling.is_faulty:
        return replace(situation.scaling.active, is_true=True)
    return Fact(is_true=False, reason="AsDesired", message="nothing is wrong")


def _ready(facts: Mapping[str, Fact]) -> Fact:
    """Sum up: what is wrong comes before what is moving, and that before what is missing."""
    if facts[DEGRADED].is_true:
        return Fact(is_true=False, reason=facts[DEGRADED].reason, message=facts[DEGRADED].message)
    if facts[PROGRESSING].is_true:
        return Fact(is_true=False, reason="Progressing", message=facts[PROGRESSING].message)
    for condition in READY_CONDITIONS.values():
        if not facts[condition].is_true:
            told = f"{condition}: {facts[condition].message}"
            return Fact(is_true=False, reason=facts[condition].reason, message=told)
    return Fact(is_true=True, reason="AllComponentsReady", message="everything runs as it should")


def _version(situation: Situation, *, is_settled: bool) -> VersionStatus:
    target = situation.context.spec.version
    before = ((situation.resource.get("status") or {}).get("version") or {}).get("current")
    return VersionStatus(current=target if is_settled else before, target=target)


def _migration(situation: Situation) -> str | None:
    name = migration_name(situation.context)
    if is_complete(situation.observed.child("Job", name)):
        return name
    before = (situation.resource.get("status") or {}).get("migration")
    return None if before is None else str(before)


def _components(situation: Situation) -> list[ComponentStatus]:
    context = situation.context
    images = context.images
    image_of = {
        names.POSTGRES: images.postgres,
        names.REDIS: images.redis,
        names.RABBITMQ: images.rabbitmq,
        names.API: images.api,
        names.EDGE: images.nginx,
        names.WORKER: images.worker,
    }
    return [
        ComponentStatus(
            name=component,
            ready=progress.ready if progress else 0,
            desired=progress.desired if progress else 0,
            image=image,
        )
        for component, image in image_of.items()
        if not context.is_external(component)
        for progress in [situation.progress(component)]
    ]


def _worker(situation: Situation) -> WorkerStatus:
    context, scaling = situation.context, situation.scaling
    workload = situation.workload(names.WORKER)
    wanted = context.initial_workers if workload is None else workload["spec"].get("replicas", 1)
    last = scaling.last_scale_time
    before = (situation.resource.get("status") or {}).get("worker") or {}
    return WorkerStatus(
        replicas=((workload or {}).get("status") or {}).get("replicas", 0),
        selector=names.to_selector_text(context.selector(names.WORKER)),
        desired=wanted if scaling.desired_replicas is None else scaling.desired_replicas,
        queued=scaling.queued_tasks,
        last_scale_time=before.get("lastScaleTime") if last is None else to_timestamp(last),
        reason=scaling.reason or None,
    )


def _endpoints(context: Context) -> Endpoints:
    def address(component: str) -> str:
        return f"http://{context.child(component)}.{context.namespace}.svc"

    return Endpoints(api=address(names.API), edge=public_address(context) or address(names.EDGE))


def announce(resource: Manifest, now: datetime) -> OrchestratorStatus | None:
    """Return what to write first when the spec is new; None when it has been seen.

    An empty status passes for ready with tools that only look for what is false.
    """
    generation = int(resource["metadata"]["generation"])
    before = resource.get("status") or {}
    if before.get("observedGeneration") == generation:
        return None
    return stated(
        resource, Fact(is_true=False, reason="Reconciling", message="the spec is new"), now
    )


def refuse(resource: Manifest, problem: Problem, now: datetime) -> OrchestratorStatus:
    """Return the status of a resource that nothing can be done for until somebody acts."""
    fact = Fact(is_true=False, reason=problem.reason, message=problem.message)
    return stated(resource, fact, now, degraded=replace(fact, is_true=True))


def stated(
    resource: Manifest, ready: Fact, now: datetime, *, degraded: Fact | None = None
) -> OrchestratorStatus:
    """Return the status there is with ``Ready`` (and ``Degraded``) replaced."""
    generation = int(resource["metadata"]["generation"])
    replaced = {READY: ready} if degraded is None else {DEGRADED: degraded, READY: ready}
    previous = previous_conditions(resource)
    kept = [condition for condition in previous if condition.type not in replaced]
    status = OrchestratorStatus.model_validate({**(resource.get("status") or {}), "conditions": []})
    new = to_conditions(replaced, previous, generation=generation, now=now)
    return status.model_copy(
        update={"observed_generation": generation, "conditions": [*kept, *new]}
    )
