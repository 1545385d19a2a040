"""Compute resources of pods.

Before: users write ``resources`` of a part.
After: containers have them; ``manifests.postgres`` and the like size a store by them.
"""

from typing import Any

from pydantic import Field

from orchestrator_operator.quantities import Quantity, to_number
from orchestrator_operator.rules import Part, Rule


class ResourceList(Part):
    """Amounts of compute resources."""

    cpu: Quantity | None = None
    """Cores, such as `500m` or `2`."""
    memory: Quantity | None = None
    """Bytes, such as `512Mi`."""


def _within_limit(resource: str) -> Rule:
    asked, allowed = f"self.requests.{resource}", f"self.limits.{resource}"

    def holds(model: "Resources") -> bool:
        request = getattr(model.requests, resource, None)
        limit = getattr(model.limits, resource, None)
        return request is None or limit is None or to_number(request) <= to_number(limit)

    return Rule(
        cel=(
            f"!has(self.requests) || !has({asked}) || !has(self.limits) || !has({allowed})"
            f" || quantity(string({asked})).compareTo(quantity(string({allowed}))) <= 0"
        ),
        message=f"requests.{resource} must not be above limits.{resource}",
        holds=holds,
    )


class Resources(Part):
    """Compute resources of each pod; what is given here replaces the default as a whole."""

    rules = (_within_limit("cpu"), _within_limit("memory"))

    requests: ResourceList | None = None
    """What is set aside for the pod."""
    limits: ResourceList | None = None
    """What the pod may use at most."""

    def to_manifest(self) -> dict[str, Any]:
        """Return it as a container's ``resources``."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


def default_resources(*, cpu: str, memory: str, memory_limit: str) -> Any:  # noqa: ANN401 - a pydantic default
    """Return the default of a part's resources, which the API server stores."""
    default: dict[str, Any] = {
        "requests": {"cpu": cpu, "memory": memory},
        "limits": {"memory": memory_limit},
    }
    # No limit on CPU by default: throttling slows a start-up and saves nobody anything.
    return Field(
        default_factory=lambda: Resources.model_validate(default),
        json_schema_extra={"default": default},
    )
