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
from typing import Any, ClassVar, Self

from pydantic import model_validator

from orchestrator_operator.quantities import to_number, to_seconds
from orchestrator_operator.resource_part import ResourcePart


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


class Part(ResourcePart):
    """Base of every part of the spec: its rules are checked."""

    rules: ClassVar[tuple[Rule, ...]] = ()

    @model_validator(mode="after")
    def _keep_the_rules(self) -> Self:
        for rule in self.rules:
            if rule.holds is not None and not rule.holds(self):
                raise ValueError(rule.message)
        return self


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


def size_between(attribute: str, field: str, smallest: str, largest: str) -> Rule:
    """Return the rule that a size lies within bounds, both included."""
    least, most = to_number(smallest), to_number(largest)
    return Rule(
        cel=(
            f"quantity(self.{field}).compareTo(quantity('{smallest}')) >= 0"
            f" && quantity(self.{field}).compareTo(quantity('{largest}')) <= 0"
        ),
        message=f"{field} must be between {smallest} and {largest}",
        field=field,
        holds=lambda model: least <= to_number(getattr(model, attribute)) <= most,
    )
