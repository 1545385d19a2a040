"""Whose object is it? What belongs to somebody else is never taken over.

Before: ``acting`` and ``ensuring_secrets`` are about to write an object that exists.
After: they write, or report a ``NameConflict``.
"""

from collections.abc import Mapping
from typing import Any

from orchestrator_operator.kinds import ORCHESTRATOR, Manifest
from orchestrator_operator.names import ownership_labels
from orchestrator_operator.problems import FORMER_LEAVING, NAME_CONFLICT, Problem


def controller_of(manifest: Manifest) -> Mapping[str, Any]:
    """Return the reference to the object's controlling owner; empty when it has none."""
    for owner in manifest["metadata"].get("ownerReferences") or ():
        if owner.get("controller"):
            return dict(owner)
    return {}


def conflict_with(existing: Manifest | None, *, resource: str, uid: str) -> Problem | None:
    """Return why ``existing`` is not ours to write; None when it is, or when there is none.

    Ours is what this very resource owns, and what carries our labels and has no owner: that is
    what an earlier resource of the same name left behind on purpose.
    """
    if existing is None:
        return None
    owner = controller_of(existing)
    told = f"{existing['kind']} {existing['metadata']['name']}"
    if owner:
        return None if owner["uid"] == uid else _conflict_of_owners(told, owner, resource)
    labels = existing["metadata"].get("labels") or {}
    wanted = ownership_labels(resource)
    if all(labels.get(key) == value for key, value in wanted.items()):
        return None
    needed = " and ".join(f"{key}={value}" for key, value in wanted.items())
    return Problem(
        NAME_CONFLICT,
        f"{told} exists and is not the operator's; delete it, or label it {needed} to hand it over",
    )


def _conflict_of_owners(told: str, owner: Mapping[str, Any], resource: str) -> Problem:
    if (owner["kind"], owner["name"]) == (ORCHESTRATOR.kind, resource):
        # Names are unique, so that one is deleted, and the garbage collector is on its way.
        return Problem(
            FORMER_LEAVING, f"{told} belongs to a deleted resource of this name and goes with it"
        )
    return Problem(
        NAME_CONFLICT,
        f"{told} belongs to {owner['kind']} {owner['name']}; it is left alone."
        " Delete or rename one of the two",
    )
