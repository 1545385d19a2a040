"""What a pass could not do, in words for the resource's status.

Before: ``guarding``, ``ensuring_secrets`` and ``acting`` meet it.
After: ``status`` repeats it in Degraded and Ready.
"""

from dataclasses import dataclass

NAME_CONFLICT = "NameConflict"
FORMER_LEAVING = "FormerResourceLeaving"
IMMUTABLE_FIELD = "ImmutableField"
REFUSED = "Refused"
INVALID_SPEC = "InvalidSpec"
SECRET_INCOMPLETE = "SecretIncomplete"  # noqa: S105 - a reason
VOLUME_NOT_EXPANDED = "VolumeNotExpanded"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that the operator can't bring about by itself."""

    reason: str
    """CamelCase, stable."""
    message: str
    """What was found, and what to do about it."""
