"""What is there: one direct look at all of a resource's children.

Always a fresh list, never a cache fed by events: an event may be lost, and what
is believed absent would be made twice, or what is believed present not at all.

Before: ``reconciling`` has read the resource itself.
After: gates, plan, prune and status all work on one ``Observed``.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace

from orchestrator_operator import names
from orchestrator_operator.applying import Cluster, KindUnknownError
from orchestrator_operator.desiring import ObjectKey, key_of
from orchestrator_operator.kinds import (
    LISTED_CHILDREN,
    OPTIONAL_CHILDREN,
    POD,
    VOLUME_CLAIM,
    Manifest,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """Every labelled child of one resource, as of one moment."""

    children: Mapping[ObjectKey, Manifest]
    """Without pods and volume claims, which their controllers own."""
    pods: tuple[Manifest, ...]
    claims: tuple[Manifest, ...]
    unknown_kinds: frozenset[str] = frozenset()
    """Of the optional kinds, those that the cluster does not have."""

    def child(self, kind: str, name: str) -> Manifest | None:
        """Return a child by kind and name, or None."""
        return self.children.get((kind, name))

    def with_applied(self, applied: Mapping[ObjectKey, Manifest]) -> "Observed":
        """Return the same with objects as they are after they were applied."""
        return replace(self, children={**self.children, **applied})


async def observe(cluster: Cluster, namespace: str, name: str) -> Observed:
    """List a resource's children of every kind at the same time."""
    labels = names.ownership_labels(name)
    found = await asyncio.gather(
        *(cluster.list(kind, namespace, labels) for kind in LISTED_CHILDREN)
    )
    by_kind = dict(zip(LISTED_CHILDREN, found, strict=True))
    pods, claims = by_kind.pop(POD), by_kind.pop(VOLUME_CLAIM)
    unknown = set()
    for kind in OPTIONAL_CHILDREN:
        try:
            by_kind[kind] = await cluster.list(kind, namespace, labels)
        except KindUnknownError:
            unknown.add(kind.kind)
    children = {key_of(child): child for listed in by_kind.values() for child in listed}
    return Observed(children=children, pods=pods, claims=claims, unknown_kinds=frozenset(unknown))
