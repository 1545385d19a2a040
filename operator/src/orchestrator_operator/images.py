"""Which image each component runs.

Three layers, later ones win: the defaults below, the operator's own setting
(a chart value, for mirrors and locally built images), the resource's
``spec.images``. ``{version}`` in the first two stands for ``spec.version``.

Before: ``settings`` reads the operator's layer.
After: builders take ``ResolvedImages``; its hash names the migration Job.
"""

from pydantic import BaseModel, ConfigDict

from orchestrator_operator.spec import OrchestratorSpec

VERSION_PLACEHOLDER = "{version}"


class DefaultImages(BaseModel):
    """References that may hold ``{version}``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    api: str = "orchestrator/api:{version}"
    worker: str = "orchestrator/worker:{version}"
    nginx: str = "nginx:1.28"
    postgres: str = "postgres:17"
    redis: str = "redis:8"
    rabbitmq: str = "rabbitmq:4-management"


class ResolvedImages(BaseModel):
    """Full references, one for each component."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    api: str
    worker: str
    nginx: str
    postgres: str
    redis: str
    rabbitmq: str


def resolve_images(spec: OrchestratorSpec, defaults: DefaultImages) -> ResolvedImages:
    """Return the image of each component for this spec."""
    derived = {
        part: reference.replace(VERSION_PLACEHOLDER, spec.version)
        for part, reference in defaults.model_dump().items()
    }
    named = spec.images.model_dump(exclude_none=True, exclude={"pull_secrets"})
    return ResolvedImages.model_validate({**derived, **named})
