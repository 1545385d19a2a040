"""Conditions: facts with a reason and a sentence, and when they last turned.

Before: ``status`` states findings.
After: the resource's status; a condition's time moves only when its status does.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from orchestrator_operator.kinds import Manifest
from orchestrator_operator.status_model import Condition

READY: Final = "Ready"
AVAILABLE: Final = "Available"
PROGRESSING: Final = "Progressing"
DEGRADED: Final = "Degraded"
PAUSED: Final = "Paused"
MIGRATED: Final = "Migrated"
SCALING_ACTIVE: Final = "ScalingActive"
SCALING_LIMITED: Final = "ScalingLimited"

LONGEST_MESSAGE = 1000


@dataclass(frozen=True, slots=True)
class Fact:
    """What a condition says; ``is_true`` is None when it is not known."""

    reason: str
    message: str
    is_true: bool | None

    @property
    def status(self) -> str:
        """Return it as Kubernetes writes it."""
        return {True: "True", False: "False", None: "Unknown"}[self.is_true]


def to_conditions(
    facts: Mapping[str, Fact], previous: Iterable[Condition], *, generation: int, now: datetime
) -> list[Condition]:
    """Return the facts as conditions, in the order given."""
    before = {condition.type: condition for condition in previous}
    return [
        _to_condition(type_, fact, before.get(type_), generation, now)
        for type_, fact in facts.items()
    ]


def _to_condition(
    type_: str, fact: Fact, before: Condition | None, generation: int, now: datetime
) -> Condition:
    has_turned = before is None or before.status != fact.status
    return Condition(
        type=type_,
        status=fact.status,
        reason=fact.reason,
        message=fact.message[:LONGEST_MESSAGE],
        observed_generation=generation,
        last_transition_time=(
            to_timestamp(now) if before is None or has_turned else before.last_transition_time
        ),
    )


def previous_conditions(resource: Manifest) -> list[Condition]:
    """Return the conditions that the resource has; unreadable ones are left out."""
    listed = (resource.get("status") or {}).get("conditions") or ()
    needed = {field.alias for field in Condition.model_fields.values()}
    return [Condition.model_validate(item) for item in listed if needed <= item.keys()]


def from_timestamp(text: str) -> datetime:
    """Return the moment of a Kubernetes timestamp."""
    return datetime.fromisoformat(text)


def to_timestamp(moment: datetime) -> str:
    """Return a moment in UTC as Kubernetes writes it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
