"""What belongs to a platform, and whether all of it is in order (invariant I12).

Before: an Orchestrator that has been reconciled.
After: tests compare what there is with what there was before they broke something.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from platform_under_test import Platform

KINDS = (
    *("configmap", "deployment", "job", "networkpolicy", "poddisruptionbudget"),
    *("secret", "service", "statefulset", "persistentvolumeclaim"),
)
HEALTHY: Mapping[str, str] = {"Ready": "True", "Degraded": "False", "ScalingActive": "True"}
"""Conditions of a platform that nothing is wrong with."""


@dataclass(frozen=True, slots=True)
class Owned:
    """The objects of a platform."""

    names: frozenset[tuple[str, str]]
    """Kind and name of each."""
    volumes: Mapping[str, str]
    """Name → UID of each volume claim: another UID is another disk."""
    strangers: tuple[str, ...]
    """What says that it belongs to the platform and is not referred to it, or to another one."""


def read_owned(platform: Platform) -> Owned:
    """Return the objects that carry the platform's labels."""
    found = platform.list(
        ",".join(KINDS), instance=platform.name, **{"managed-by": "orchestrator-operator"}
    )
    owner = platform.resource()["metadata"]["uid"]
    return Owned(
        names=frozenset((each["kind"], each["metadata"]["name"]) for each in found),
        volumes={
            each["metadata"]["name"]: each["metadata"]["uid"]
            for each in found
            if each["kind"] == "PersistentVolumeClaim"
        },
        strangers=tuple(
            f"{each['kind']} {each['metadata']['name']}: owners {owners_of(each)}"
            for each in found
            if owners_of(each) != ([] if outlives(each) else [owner])
        ),
    )


def owners_of(manifest: Mapping[str, Any]) -> list[str]:
    return [each["uid"] for each in manifest["metadata"].get("ownerReferences", ())]


def outlives(manifest: Mapping[str, Any]) -> bool:
    """Whether the default deletion policy keeps an object: data, and what opens it."""
    return manifest["kind"] in {"PersistentVolumeClaim", "Secret"}


def find_disorder(
    platform: Platform, before: Owned, conditions: Mapping[str, str] = HEALTHY
) -> list[str]:
    """Return what is not in order, a sentence each; nothing when I12 holds."""
    now = read_owned(platform)
    resource = platform.resource()
    status = resource.get("status", {})
    found = {each["type"]: each["status"] for each in status.get("conditions", ())}
    generation = resource["metadata"]["generation"]
    return [
        *(f"missing: {' '.join(each)}" for each in sorted(before.names - now.names)),
        *(f"extra: {' '.join(each)}" for each in sorted(now.names - before.names)),
        *now.strangers,
        *(
            f"volume {name} was {uid} and is {now.volumes.get(name)}"
            for name, uid in before.volumes.items()
            if now.volumes.get(name) != uid
        ),
        *(
            f"{kind} is {found.get(kind)}, not {wanted}"
            for kind, wanted in conditions.items()
            if found.get(kind) != wanted
        ),
        *(
            [f"observed generation {status.get('observedGeneration')} of {generation}"]
            if status.get("observedGeneration") != generation
            else []
        ),
    ]


def await_order(
    platform: Platform,
    before: Owned,
    conditions: Mapping[str, str] = HEALTHY,
    *,
    seconds: float = 60.0,
) -> None:
    """Wait until nothing is out of order; fail with what still is."""
    deadline = time.monotonic() + seconds
    while disorder := find_disorder(platform, before, conditions):
        assert time.monotonic() < deadline, disorder
        time.sleep(1.0)
