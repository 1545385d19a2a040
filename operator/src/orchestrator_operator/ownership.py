"""Whose object is it? What belongs to somebody else is never taken over.

Before: ``acting`` and ``ensuring_secrets`` are about to write an object that exists.
After: they write, or report a ``NameConflict``.
"""

from orchestrator_operator.kinds import Manifest
from orchestrator_operator.names import ownership_labels
from orchestrator_operator.problems import NAME_CONFLICT, Problem


def controller_uid(manifest: Manifest) -> str | None:
    """Return the uid of the object's controlling owner, if it has one."""
    for owner in manifest["metadata"].get("ownerReferences") or ():
        if owner.get("controller"):
            return str(owner["uid"])
    return None


def conflict_with(existing: Manifest | None, *, resource: str, uid: str) -> Problem | None:
    """Return why ``existing`` is not ours to write; None when it is, or when there is none.

    Ours is what this very resource owns, and what carries our labels and has no owner: that is
    what an earlier resource of the same name left behind on purpose.
    """
    if existing is None or (owner := controller_uid(existing)) == uid:
        return None
    told = f"{existing['kind']} {existing['metadata']['name']}"
    if owner is not None:
        return Problem(
            NAME_CONFLICT,
            f"{told} belongs to another owner (uid {owner}); it is left alone until that is gone."
            " Delete or rename one of the two",
        )
    labels = existing["metadata"].get("labels") or {}
    wanted = ownership_labels(resource)
    if all(labels.get(key) == value for key, value in wanted.items()):
        return None
    needed = " and ".join(f"{key}={value}" for key, value in wanted.items())
    return Problem(
        NAME_CONFLICT,
        f"{told} exists and is not the operator's; delete it, or label it {needed} to hand it over",
    )
