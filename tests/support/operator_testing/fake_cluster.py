"""A Kubernetes API in memory, true to what the operator relies on.

It keeps server-side apply's ownership, resource versions and generations,
preconditions, immutable fields and owner references. It runs no controllers:
a test says itself that a pod became ready. ``cluster_promises`` runs against this
and against a real API server, so the two can't drift apart unseen.

Before: a test makes one.
After: the operator's own code runs on it.
"""

import copy
import itertools
from collections.abc import Mapping
from typing import Any

from operator_testing.field_ownership import (
    Owners,
    apply_fields,
    leaves,
    to_fields_v1,
)
from orchestrator_operator.applying import (
    AlreadyExistsError,
    ChangedMeanwhileError,
    KindUnknownError,
    ObjectRefusedError,
    build_event,
)
from orchestrator_operator.kinds import OPTIONAL_CHILDREN, Kind, Manifest, kind_of

Key = tuple[str, str, str]
"""Kind, namespace, name."""

IMMUTABLE_SPEC_FIELDS: Mapping[str, tuple[tuple[str, ...], str]] = {
    "StatefulSet": (
        ("volumeClaimTemplates", "serviceName", "podManagementPolicy", "selector"),
        "spec: Forbidden: updates to statefulset spec for fields other than …",
    ),
    "Deployment": (("selector",), "spec.selector: Invalid value: field is immutable"),
    "Job": (("template",), "spec.template: Invalid value: field is immutable"),
    "Service": (("clusterIP",), "spec.clusterIPs[0]: may not change once set"),
}
AFFINITIES = frozenset({"nodeAffinity", "podAffinity", "podAntiAffinity"})
IDENTITY = ("name", "namespace", "uid", "resourceVersion", "generation", "managedFields")


class FakeCluster:
    """Keeps the promises of ``applying.Cluster``."""

    def __init__(self) -> None:
        self.objects: dict[Key, Manifest] = {}
        self.owners: dict[Key, Owners] = {}
        self.events: list[Manifest] = []
        self.writes: list[str] = []
        """Every call that may write, such as ``apply Deployment demo-api``."""
        self.unknown_kinds = set(OPTIONAL_CHILDREN)
        """Kinds whose definitions are not installed."""
        self._numbers = itertools.count(1)

    async def get(self, kind: Kind, namespace: str, name: str) -> Manifest | None:
        """Return the object, or None when there is none."""
        key = (kind.kind, namespace, name)
        return self._shown(key) if key in self.objects else None

    async def list(
        self, kind: Kind, namespace: str | None, labels: Mapping[str, str] | None = None
    ) -> tuple[Manifest, ...]:
        """Return all objects that carry ``labels``."""
        if kind in self.unknown_kinds:
            raise KindUnknownError(f"list {kind.plural}: the server could not find it")
        return tuple(
            self._shown(key)
            for key, manifest in sorted(self.objects.items())
            if key[0] == kind.kind
            and namespace in {None, key[1]}
            and (labels or {}).items() <= (manifest["metadata"].get("labels") or {}).items()
        )

    async def create(self, manifest: Manifest, *, field_manager: str) -> Manifest:
        """Create the object; ``AlreadyExistsError`` when the name is taken."""
        self._note("create", manifest)
        key = _key(manifest)
        if key in self.objects:
            raise AlreadyExistsError(f"create {key}: already exists")
        self._store(key, _defaulted(copy.deepcopy(manifest)), before=None)
        self.owners[key] = {f"{field_manager} (update)": {path for path, _ in leaves(manifest)}}
        return self._shown(key)

    async def apply(
        self, manifest: Manifest, *, field_manager: str, subresource: str = ""
    ) -> Manifest:
        """Apply by force; return the result."""
        self._note("apply", manifest, subresource)
        key = _key(manifest)
        before = self.objects.get(key)
        if before is None and subresource:
            raise ObjectRefusedError("apply", status=404, message="not found", causes=())
        _refuse_unknown(manifest)
        stated = _stated(manifest, subresource)
        manager = f"{field_manager} {subresource}".strip()
        live = before if before is not None else _shell(manifest)
        merged, owners = apply_fields(live, self.owners.get(key, {}), manager, stated)
        merged = _defaulted(merged)
        if before is not None:
            _refuse_immutable(before, merged)
        self._store(key, merged, before)
        self.owners[key] = owners
        return self._shown(key)

    async def merge(self, manifest: Manifest, *, field_manager: str) -> Manifest | None:
        """Merge-patch an existing object; None when there is none."""
        self._note("merge", manifest)
        key = _key(manifest)
        before = self.objects.get(key)
        if before is None:
            return None
        if manifest["metadata"].get("uid", before["metadata"]["uid"]) != before["metadata"]["uid"]:
            raise ChangedMeanwhileError(f"merge {key}: another uid")
        merged = _merged(before, manifest)
        _refuse_immutable(before, merged)
        self._store(key, merged, before)
        owned = self.owners.setdefault(key, {}).setdefault(f"{field_manager} (update)", set())
        owned |= {path for path, _ in leaves(_stated(manifest, ""))}
        return self._shown(key)

    async def delete(self, manifest: Manifest, *, propagation: str = "Background") -> bool:
        """Delete exactly this object and, in the background, what it owns."""
        self._note("delete", manifest)
        key = _key(manifest)
        live = self.objects.get(key)
        if live is None or live["metadata"]["uid"] != manifest["metadata"]["uid"]:
            return False
        self.remove(key, propagation=propagation)
        return True

    async def emit_event(
        self, regarding: Manifest, *, type_: str, reason: str, message: str
    ) -> None:
        """Record an Event about an object."""
        event = build_event(
            regarding,
            type_=type_,
            reason=reason,
            message=message,
            component="orchestrator-operator",
        )
        self.events.append(event)

    def remove(self, key: Key, *, propagation: str = "Background") -> None:
        """Take an object away as somebody else would; the garbage collector follows at once."""
        removed = self.objects.pop(key)
        self.owners.pop(key, None)
        uid = removed["metadata"]["uid"]
        for other, manifest in tuple(self.objects.items()):
            references = manifest["metadata"].get("ownerReferences") or []
            rest = [reference for reference in references if reference["uid"] != uid]
            if rest == references:
                continue
            if rest or propagation == "Orphan":
                manifest["metadata"]["ownerReferences"] = rest
            elif other in self.objects:
                self.remove(other)

    def put(self, manifest: Manifest) -> Manifest:
        """Place an object as somebody else's controller would, without any owner of fields."""
        key = _key(manifest)
        self._store(key, _defaulted(copy.deepcopy(manifest)), self.objects.get(key))
        return self.objects[key]

    def set_status(self, kind: str, namespace: str, name: str, status: Mapping[str, Any]) -> None:
        """Write a status as a controller would."""
        live = self.objects[kind, namespace, name]
        self._store((kind, namespace, name), {**live, "status": dict(status)}, live)

    def versions(self) -> dict[Key, str]:
        """Return every object's resource version: equal dictionaries mean that nothing changed."""
        return {
            key: manifest["metadata"]["resourceVersion"] for key, manifest in self.objects.items()
        }

    def _shown(self, key: Key) -> Manifest:
        """Return an object as a reader sees it, with who owns what."""
        manifest = copy.deepcopy(self.objects[key])
        manifest["metadata"]["managedFields"] = [
            {"manager": manager, "fieldsV1": to_fields_v1(paths)}
            for manager, paths in sorted(self.owners.get(key, {}).items())
        ]
        return manifest

    def _note(self, verb: str, manifest: Manifest, subresource: str = "") -> None:
        told = f"{verb} {manifest['kind']} {manifest['metadata']['name']}"
        self.writes.append(f"{told}/{subresource}" if subresource else told)

    def _store(self, key: Key, manifest: Manifest, before: Manifest | None) -> None:
        if before is not None and _content(before) == _content(manifest):
            return
        metadata = manifest["metadata"]
        number = next(self._numbers)
        metadata["resourceVersion"] = str(number)
        metadata.setdefault("uid", f"uid-{number}")
        generation = 1 if before is None else before["metadata"].get("generation", 1)
        if before is not None and _body(before) != _body(manifest):
            generation += 1
        metadata["generation"] = generation
        self.objects[key] = manifest


def _key(manifest: Manifest) -> Key:
    kind_of(manifest)
    return manifest["kind"], manifest["metadata"]["namespace"], manifest["metadata"]["name"]


def _shell(manifest: Manifest) -> Manifest:
    metadata = {key: manifest["metadata"][key] for key in ("name", "namespace")}
    return {"apiVersion": manifest["apiVersion"], "kind": manifest["kind"], "metadata": metadata}


def _stated(manifest: Manifest, subresource: str) -> Manifest:
    """Return what an apply states: never identity, and of a status nothing but the status."""
    if subresource == "status":
        return {"status": manifest["status"]}
    metadata = {key: value for key, value in manifest["metadata"].items() if key not in IDENTITY}
    body = {
        key: value
        for key, value in manifest.items()
        if key not in {"apiVersion", "kind", "metadata", "status"}
    }
    return {**({"metadata": metadata} if metadata else {}), **body}


def _body(manifest: Manifest) -> Manifest:
    return {key: value for key, value in manifest.items() if key not in {"metadata", "status"}}


def _content(manifest: Manifest) -> Manifest:
    metadata = {
        key: value
        for key, value in manifest["metadata"].items()
        if key not in {"resourceVersion", "generation"}
    }
    return {**manifest, "metadata": metadata}


def _defaulted(manifest: Manifest) -> Manifest:
    """Fill in what the API server would and the operator reads."""
    kind, spec = manifest["kind"], manifest.get("spec", {})
    if kind in {"Deployment", "StatefulSet"}:
        spec.setdefault("replicas", 1)
    if kind == "Service":
        spec.setdefault("clusterIP", "198.51.100.7")
    return manifest


def _refuse_immutable(before: Manifest, after: Manifest) -> None:
    fields, sentence = IMMUTABLE_SPEC_FIELDS.get(after["kind"], ((), ""))
    changed = [
        name
        for name in fields
        if before.get("spec", {}).get(name) != after.get("spec", {}).get(name)
    ]
    if changed:
        raise ObjectRefusedError(
            f"apply {after['kind']}", status=422, message=sentence, causes=(sentence,)
        )


def _refuse_unknown(manifest: Manifest) -> None:
    """Of all schemas it knows this one, where the resource's own lets everything pass."""
    pod = manifest.get("spec", {}).get("template", {}).get("spec", {})
    for name in (pod.get("affinity") or {}).keys() - AFFINITIES:
        message = f"failed to create typed patch object: .{name}: field not declared in schema"
        raise ObjectRefusedError("apply", status=500, message=message, causes=())


def _merged(target: Any, patch: Any) -> Any:
    """Merge as RFC 7386 says."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    result = dict(copy.deepcopy(target)) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = _merged(result.get(key), value)
    return result
