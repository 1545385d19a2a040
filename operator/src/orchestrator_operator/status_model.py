"""The status of an Orchestrator: what the operator says about a resource.

Before: ``status`` fills these from what a pass observed.
After: ``schema`` writes them into the CRD; ``reconciling`` applies them to ``/status``.
"""

from typing import Annotated

from pydantic import Field

from orchestrator_operator.resource_part import ResourcePart

Timestamp = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
"""UTC, to the second, as Kubernetes writes it."""


class Condition(ResourcePart):
    """One fact about the resource."""

    type: str
    """What the fact is about."""
    status: str = Field(json_schema_extra={"enum": ["True", "False", "Unknown"]})
    """Whether it holds."""
    reason: str
    """Why, in one CamelCase word for machines."""
    message: str
    """Why, in a sentence for people."""
    observed_generation: int
    """The generation of the spec that the fact is about."""
    last_transition_time: Timestamp
    """When status last changed."""


class VersionStatus(ResourcePart):
    """Which version runs."""

    current: str | None = None
    """What all components were last seen to run."""
    target: str
    """What they are being brought to."""


class ComponentStatus(ResourcePart):
    """One component's pods."""

    name: str
    """Which component."""
    ready: int
    """Pods that are ready."""
    desired: int
    """Pods that should be."""
    image: str
    """The image they should run."""


class WorkerStatus(ResourcePart):
    """The workers, and why there are so many."""

    replicas: int
    """Workers that exist; the status path of /scale."""
    selector: str
    """Label selector of the worker pods; the selector path of /scale."""
    desired: int
    """Workers that should be."""
    queued: int | None = None
    """Tasks that wait for a worker, rounded, at most ten seconds old."""
    last_scale_time: Timestamp | None = None
    """When the number of workers was last changed."""
    reason: str | None = None
    """The last decision, with the numbers behind it."""


class Endpoints(ResourcePart):
    """Where the resource can be reached inside the cluster."""

    api: str
    """The API itself."""
    edge: str
    """The API through the edge, for clients."""


class OrchestratorStatus(ResourcePart):
    """What the operator last saw; written by it alone."""

    observed_generation: int | None = None
    """The generation of the spec that was last acted on."""
    conditions: list[Condition] = Field(default_factory=list)
    """Facts, one of each type. Ready sums them up."""
    version: VersionStatus | None = None
    """Which version runs."""
    migration: str | None = None
    """The Job that brought the database to what the images need."""
    components: list[ComponentStatus] = Field(default_factory=list)
    """Each component's pods."""
    worker: WorkerStatus | None = None
    """The workers, and why there are so many."""
    endpoints: Endpoints | None = None
    """Where the resource can be reached inside the cluster."""
