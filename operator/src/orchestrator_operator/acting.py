"""Making it so: applies a plan step by step and removes what no step describes.

Every step is idempotent and each pass does all of them, so a pass may die at
any point. An apply is left out only when it is known to change nothing: the
object is exactly as the last apply of the very same manifest left it, its status
aside. That memory may be lost at any time.

A Job that changes the schema right now is neither replaced nor pruned. Its pod's end
rings the door, and that pass does it.

Before: ``reconciling`` has observed and planned.
After: ``status`` reads the objects as they are now, and the problems.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

import structlog

from orchestrator_operator import names
from orchestrator_operator.applying import (
    ChangedMeanwhileError,
    Cluster,
    ObjectRefusedError,
)
from orchestrator_operator.desiring import ObjectKey, Plan, Step, key_of
from orchestrator_operator.immutables import is_about_immutability, way_around
from orchestrator_operator.kinds import PRUNED_CHILDREN, Manifest, kind_of
from orchestrator_operator.manifests.context import Context, hash_of
from orchestrator_operator.observing import Observed
from orchestrator_operator.ownership import conflict_with, controller_of
from orchestrator_operator.problems import (
    IMMUTABLE_FIELD,
    REFUSED,
    VOLUME_NOT_EXPANDED,
    Problem,
)
from orchestrator_operator.quantities import to_number
from orchestrator_operator.workloads import is_migrating

_log = structlog.get_logger(__name__)
_PRUNED_KINDS = frozenset(kind.kind for kind in PRUNED_CHILDREN)


@dataclass(slots=True)
class SettledMemory:
    """Which objects are known to be as they should; safe to lose."""

    _known: dict[ObjectKey, tuple[str, str]] = field(default_factory=dict)

    def knows(self, manifest: Manifest, existing: Manifest) -> bool:
        """Return whether applying ``manifest`` onto ``existing`` can't change anything."""
        return self._known.get(key_of(manifest)) == (hash_of(manifest), _fingerprint(existing))

    def learn(self, manifest: Manifest, applied: Manifest) -> None:
        """Remember what an apply of ``manifest`` resulted in."""
        self._known[key_of(manifest)] = (hash_of(manifest), _fingerprint(applied))


@dataclass(slots=True)
class Acted:
    """What a pass did."""

    objects: dict[ObjectKey, Manifest] = field(default_factory=dict)
    """Each applied object as it is now."""
    changes: list[str] = field(default_factory=list)
    """What was really changed, such as ``created Deployment demo-api``."""
    problems: list[Problem] = field(default_factory=list)
    leaving: list[str] = field(default_factory=list)
    """Objects that must go before they can be made anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Carries out plans for one resource."""

    cluster: Cluster
    context: Context
    memory: SettledMemory

    async def act(self, plan: Plan, observed: Observed) -> Acted:
        """Apply what need not wait, then prune; a refused object does not stop the others."""
        acted = Acted()
        await self._grow_claims(plan, observed, acted)
        for step in plan.steps:
            if not step.waits_for:
                await self._apply(step, observed, acted)
        await self._prune(plan, observed, acted)
        return acted

    async def _apply(self, step: Step, observed: Observed, acted: Acted) -> None:
        existing = observed.children.get(step.key) or await self._find_unlabelled(step)
        told = " ".join(step.key)
        conflict = conflict_with(existing, resource=self.context.name, uid=self.context.uid)
        if conflict is not None:
            acted.problems.append(conflict)
            return
        if existing is not None and existing["metadata"].get("deletionTimestamp"):
            acted.leaving.append(told)
            return
        if existing is not None and self.memory.knows(step.manifest, existing):
            acted.objects[step.key] = existing
            return
        try:
            applied = await self._write(step, existing)
        except ObjectRefusedError as error:
            await self._answer_refusal(step, existing, error, observed, acted)
            return
        if existing is not None or step.birth is None:
            self.memory.learn(step.manifest, applied)
        acted.objects[step.key] = applied
        if existing is None:
            acted.changes.append(f"created {told}")
        elif _is_changed(existing, applied):
            acted.changes.append(f"changed {told}")

    async def _find_unlabelled(self, step: Step) -> Manifest | None:
        """Look for a stranger of this name before one would be overwritten."""
        kind = kind_of(step.manifest)
        return await self.cluster.get(kind, self.context.namespace, step.key[1])

    async def _write(self, step: Step, existing: Manifest | None) -> Manifest:
        if step.birth is None:
            return await self._state(step.manifest)
        # Born with replicas, which then pass to the autoscaler: it states them too, and from the
        # next pass on they are left out here. In any other order they would fall back to 1.
        born = await self._state(step.birth) if existing is None else existing
        if not is_scaled(born):
            born = await self.cluster.apply(
                only_replicas(born), field_manager=names.AUTOSCALER_FIELD_MANAGER
            )
        return born if existing is None else await self._state(step.manifest)

    async def _state(self, manifest: Manifest) -> Manifest:
        return await self.cluster.apply(manifest, field_manager=names.FIELD_MANAGER)

    async def _answer_refusal(
        self,
        step: Step,
        existing: Manifest | None,
        error: ObjectRefusedError,
        observed: Observed,
        acted: Acted,
    ) -> None:
        told = " ".join(step.key)
        way = way_around(step.key[0], error) if existing is not None else None
        if existing is not None and way is not None:
            if is_migrating(existing, observed.pods):
                acted.objects[step.key] = existing
                return
            _log.info("replacing_object", object=told, why=way.why, refusal=error.message)
            await self.cluster.delete(existing, propagation=way.propagation)
            acted.changes.append(f"replaced {told}")
            acted.leaving.append(told)
            return
        reason = IMMUTABLE_FIELD if is_about_immutability(error) else REFUSED
        acted.problems.append(Problem(reason, f"the API server refused {told}: {error.message}"))

    async def _grow_claims(self, plan: Plan, observed: Observed, acted: Acted) -> None:
        """Ask for more room where a volume claim has less than the spec says."""
        wanted = {
            f"{template['metadata']['name']}-{step.key[1]}-{ordinal}": template
            for step in plan.steps
            if step.key[0] == "StatefulSet"
            for template in step.manifest["spec"].get("volumeClaimTemplates", ())
            for ordinal in range(step.manifest["spec"]["replicas"])
        }
        for claim in observed.claims:
            template = wanted.get(claim["metadata"]["name"])
            if template is None or _storage(template) <= _storage(claim):
                continue
            await self._grow_claim(claim, template, acted)

    async def _grow_claim(self, claim: Manifest, template: Manifest, acted: Acted) -> None:
        told = f"PersistentVolumeClaim {claim['metadata']['name']}"
        identity = {key: claim["metadata"][key] for key in ("name", "namespace", "uid")}
        patch = {
            "apiVersion": claim["apiVersion"],
            "kind": claim["kind"],
            "metadata": identity,
            "spec": {"resources": template["spec"]["resources"]},
        }
        try:
            await self.cluster.merge(patch, field_manager=names.FIELD_MANAGER)
        except (ObjectRefusedError, ChangedMeanwhileError) as error:
            acted.problems.append(Problem(VOLUME_NOT_EXPANDED, f"{told} was not grown: {error}"))
        else:
            acted.changes.append(f"grew {told}")

    async def _prune(self, plan: Plan, observed: Observed, acted: Acted) -> None:
        for key, child in observed.children.items():
            is_ours = controller_of(child).get("uid") == self.context.uid
            is_leaving = "deletionTimestamp" in child["metadata"]
            if key in plan.keys or key[0] not in _PRUNED_KINDS or not is_ours or is_leaving:
                continue
            if not is_migrating(child, observed.pods) and await self.cluster.delete(child):
                acted.changes.append(f"deleted {' '.join(key)}")


def is_scaled(deployment: Manifest) -> bool:
    """Return whether the autoscaler already states a Deployment's replicas."""
    return any(
        entry.get("manager") == names.AUTOSCALER_FIELD_MANAGER
        and "f:replicas" in (entry.get("fieldsV1") or {}).get("f:spec", {})
        for entry in deployment["metadata"].get("managedFields") or ()
    )


def only_replicas(deployment: Manifest) -> Manifest:
    """Return what the autoscaler states of a Deployment: its replicas and nothing else."""
    metadata = {key: deployment["metadata"][key] for key in ("name", "namespace")}
    return {
        "apiVersion": deployment["apiVersion"],
        "kind": deployment["kind"],
        "metadata": metadata,
        "spec": {"replicas": deployment["spec"]["replicas"]},
    }


def _storage(claim: Manifest) -> Fraction:
    return to_number(claim["spec"]["resources"]["requests"]["storage"])


def _fingerprint(manifest: Manifest) -> str:
    """Return a digest of all that an apply could change."""
    metadata: Mapping[str, object] = manifest["metadata"]
    kept = {
        key: value
        for key, value in metadata.items()
        if key not in {"resourceVersion", "managedFields", "generation"}
    }
    body = {key: value for key, value in manifest.items() if key not in {"status", "metadata"}}
    return hash_of(kept, body)


def _is_changed(before: Manifest, after: Manifest) -> bool:
    return _fingerprint(before) != _fingerprint(after)
