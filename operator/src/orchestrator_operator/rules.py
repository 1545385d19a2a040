"""Rules of the resource, each stated once: for the API server in CEL, for the loop in Python.

The API server refuses a bad resource with the rule's sentence. The loop asks
again, because a resource may be older than a rule, and says the same sentence
in its status. A rule that compares with the old object is the API server's
alone.

Before: nothing.
After: ``spec`` lists the rules of each of its models; ``schema`` writes them into the CRD.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from orchestrator_operator.quantities import to_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One thing that must hold for an object of the schema."""

    cel: str
    message: str
    field: str = ""
    """The property that the sentence is about, by its JSON name; empty for the whole object."""
    holds: Callable[[Any], bool] | None = None
    """The same on the model; None for a rule about a change."""

    def to_schema(self) -> dict[str, str]:
        """Return the rule as an entry of ``x-kubernetes-validations``."""
        entry = {"rule": self.cel, "message": self.message}
        return {**entry, "fieldPath": f".{self.field}"} if self.field else entry


def duration_between(attribute: str, field: str, shortest: str, longest: str) -> Rule:
    """Return the rule that a duration lies within bounds, both included."""
    least, most = to_seconds(shortest), to_seconds(longest)
    return Rule(
        cel=(
            f"duration(self.{field}) >= duration('{shortest}')"
            f" && duration(self.{field}) <= duration('{longest}')"
        ),
        message=f"{field} must be between {shortest} and {longest}",
        field=field,
        holds=lambda model: least <= to_seconds(getattr(model, attribute)) <= most,
    )
