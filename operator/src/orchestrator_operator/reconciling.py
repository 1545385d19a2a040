"""One pass over one resource: observe, guard, plan, act, tell.

Level-triggered: a pass looks at what is, never at what happened, so it may be
run at any time, any number of times, and die anywhere.

Before: ``looping`` calls ``reconcile`` when a resource's door was rung.
After: the cluster is a step nearer to the spec, and status says how near.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from orchestrator_operator.acting import Actor
from orchestrator_operator.applying import Cluster, ObjectRefusedError
from orchestrator_operator.companions import Companion
from orchestrator_operator.deriving import derive_context, derive_gates
from orchestrator_operator.desiring import desired, key_of
from orchestrator_operator.ensuring_secrets import ensure_secrets, look_at_secrets
from orchestrator_operator.guarding import guard, is_paused
from orchestrator_operator.images import DefaultImages, resolve_images
from orchestrator_operator.kinds import ORCHESTRATOR, Manifest
from orchestrator_operator.looping import Verdict, verdict_of
from orchestrator_operator.manifests.context import Context, Credentials
from orchestrator_operator.manifests.migration import migration_name
from orchestrator_operator.migrating import retry_migration
from orchestrator_operator.observing import Observed, observe
from orchestrator_operator.problems import REFUSED, Problem
from orchestrator_operator.spec import OrchestratorSpec
from orchestrator_operator.status import Situation, announce, build_status, refuse
from orchestrator_operator.telling import tell_changes, write_status
from orchestrator_operator.users_secrets import find_incomplete


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciler:
    """What every pass needs beside the resource itself."""

    cluster: Cluster
    default_images: DefaultImages
    operator_namespace: str
    now: Callable[[], datetime]
    count_changes: Callable[[Sequence[str]], None] = lambda _: None
    pod_monitor_labels: Mapping[str, str] = field(default_factory=dict)

    async def reconcile(self, namespace: str, name: str, companion: Companion) -> Verdict:
        """Make one pass.

        Raises:
            ClusterError: the API server failed in the middle; a later pass starts over.
        """
        resource = await self.cluster.get(ORCHESTRATOR, namespace, name)
        if resource is None or "deletionTimestamp" in resource["metadata"]:
            # Owner references take the children away, and would without an operator.
            return Verdict.GONE
        spec = guard(resource)
        if isinstance(spec, Problem):
            return await self._give_up(resource, spec)
        if is_paused(resource):
            return await self._only_look(resource, spec, companion)
        if (first := announce(resource, self.now())) is not None:
            resource = await write_status(self.cluster, resource, first)
        try:
            return await self._converge(resource, spec, companion)
        except ObjectRefusedError as error:
            # A read or a Secret that is refused: without it there is nothing to go by.
            return await self._give_up(resource, Problem(REFUSED, str(error)))

    async def _converge(
        self, resource: Manifest, spec: OrchestratorSpec, companion: Companion
    ) -> Verdict:
        secrets = await ensure_secrets(self.cluster, resource, spec)
        if isinstance(secrets, Problem):
            return await self._give_up(resource, secrets)
        observed = (await self._observe(resource)).with_applied(
            {key_of(secret): secret for secret in secrets.manifests.values()}
        )
        context = self._derive(resource, spec, observed, secrets.credentials, companion)
        plan = desired(context, derive_gates(resource, context, observed))
        actor = Actor(cluster=self.cluster, context=context, memory=companion.memory)
        acted = await actor.act(plan, observed)
        companion.remember_secrets(
            acted.objects.get(key_of(secret), secret) for secret in secrets.manifests.values()
        )
        problems = acted.problems + await find_incomplete(self.cluster, context.namespace, spec)
        if plan.may_scale:
            companion.pool.steer(resource, context)
        job = observed.child("Job", migration_name(context))
        situation = Situation(
            resource=resource,
            context=context,
            observed=observed.with_applied(acted.objects),
            waits=plan.waits(),
            problems=problems,
            leaving=acted.leaving,
            scaling=companion.look_at_scaling(),
            migration_retry=await retry_migration(self.cluster, job, self.now()),
            now=self.now(),
        )
        self.count_changes(acted.changes)
        await tell_changes(self.cluster, resource, acted.changes)
        await write_status(self.cluster, resource, build_status(situation))
        return verdict_of(problems)

    async def _only_look(
        self, resource: Manifest, spec: OrchestratorSpec, companion: Companion
    ) -> Verdict:
        """Report on a paused resource; nothing but its status is written, so nothing scales."""
        await companion.pool.close()
        observed = await self._observe(resource)
        credentials = await look_at_secrets(self.cluster, resource, spec)
        context = self._derive(resource, spec, observed, credentials, companion)
        situation = Situation(
            resource=resource,
            context=context,
            observed=observed,
            waits=desired(context, derive_gates(resource, context, observed)).waits(),
            scaling=companion.look_at_scaling(),
            is_paused=True,
            now=self.now(),
        )
        await write_status(self.cluster, resource, build_status(situation))
        return Verdict.DONE

    async def _give_up(self, resource: Manifest, problem: Problem) -> Verdict:
        await write_status(self.cluster, resource, refuse(resource, problem, self.now()))
        return verdict_of([problem])

    async def _observe(self, resource: Manifest) -> Observed:
        metadata = resource["metadata"]
        return await observe(self.cluster, metadata["namespace"], metadata["name"])

    def _derive(
        self,
        resource: Manifest,
        spec: OrchestratorSpec,
        observed: Observed,
        credentials: Credentials,
        companion: Companion,
    ) -> Context:
        return derive_context(
            resource,
            spec,
            observed,
            images=resolve_images(spec, self.default_images),
            credentials=credentials,
            operator_namespace=self.operator_namespace,
            pod_monitor_labels=self.pod_monitor_labels,
            desired_workers=companion.pool.view().desired_replicas,
        )
