"""Fields that can't be changed, and what is done when they must.

The table is the whole policy. Where a row says so the old object goes and
the next pass makes the new one; what no row allows is refused and reported.

Before: ``acting`` applied an object and the API server refused.
After: it deletes what the table allows, or reports ``ImmutableField``.
"""

from dataclasses import dataclass

from orchestrator_operator.applying import ObjectRefusedError

BACKGROUND = "Background"
ORPHAN = "Orphan"


@dataclass(frozen=True, slots=True)
class Immutable:
    """One kind's refusal to change, and the way around it."""

    kind: str
    sentence: str
    """Part of what the API server says about such a change."""
    propagation: str
    """How the old object is deleted: with what it owns, or orphaning it."""
    why: str


TABLE = (
    Immutable(
        "StatefulSet",
        "updates to statefulset spec for fields other than",
        ORPHAN,
        "the pod and its volume live on and are adopted; this is how a volume grows",
    ),
    Immutable(
        "Job",
        "field is immutable",
        BACKGROUND,
        "a migration can be run again: it does what is left to do",
    ),
    Immutable(
        "Deployment",
        "field is immutable",
        BACKGROUND,
        "only a selector is immutable, and no release of this operator has changed one",
    ),
    Immutable(
        "Service",
        "may not change once set",
        BACKGROUND,
        "its address changes; clients find it by name, and the edge is rolled",
    ),
)


def way_around(kind: str, error: ObjectRefusedError) -> Immutable | None:
    """Return the table's row for a refusal, if every refused field is of that sort.

    A manifest that is wrong in another way too would be refused again after the deletion.
    """
    for row in TABLE:
        if row.kind == kind and error.causes and all(row.sentence in c for c in error.causes):
            return row
    return None


def is_about_immutability(error: ObjectRefusedError) -> bool:
    """Return whether a refusal is about a field that can't change at all."""
    return any("immutable" in cause or "may not change" in cause for cause in error.causes)
