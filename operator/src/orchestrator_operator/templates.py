"""What users may add to pods: where they run, who they are told to be, and more variables.

A part of Kubernetes' own pod template. What makes a pod safe, and what leads it to its stores, is
not among it.

Before: users write ``spec.api.template`` and ``spec.worker.template``.
After: ``manifests.pods.with_template`` merges it into a pod.
"""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field, StringConstraints

from orchestrator_operator.outside import Entries, ObjectName
from orchestrator_operator.rules import Part, Rule

RESERVED_LABELS = ("app.kubernetes.io/", "taskorchestrator.dev/")
RESERVED_ANNOTATIONS = (*RESERVED_LABELS, "controller.kubernetes.io/pod-deletion-cost")
RESERVED_VARIABLES = ("APP_", "DB_", "JWT_", "RABBITMQ_", "REDIS_", "RESULTS_S3_", "SMTP_")
MOST_ENTRIES = 32

Key = Annotated[str, StringConstraints(pattern=r"^[-._a-zA-Z0-9]+$", min_length=1, max_length=253)]
TaintKey = Annotated[
    str, StringConstraints(pattern=r"^[-._/a-zA-Z0-9]+$", min_length=1, max_length=316)
]


class TaintEffect(StrEnum):
    """What a taint does."""

    NO_SCHEDULE = "NoSchedule"
    PREFER_NO_SCHEDULE = "PreferNoSchedule"
    NO_EXECUTE = "NoExecute"


class TolerationOperator(StrEnum):
    """How a toleration looks at a taint's value."""

    EQUAL = "Equal"
    EXISTS = "Exists"


class Toleration(Part):
    """Lets pods run on nodes with a taint, as in a pod."""

    key: TaintKey | None = None
    """Of the taint; left out, with operator Exists, every one."""
    operator: TolerationOperator | None = None
    """Equal, the default, or Exists."""
    value: str | None = Field(default=None, max_length=253)
    """Of the taint, with operator Equal."""
    effect: TaintEffect | None = None
    """Of the taint; left out, every one."""
    toleration_seconds: int | None = Field(default=None, ge=0, le=31_536_000)
    """How long a pod may stay on a node with such a taint, with effect NoExecute."""


class KeyReference(Part):
    """A key of a Secret or a ConfigMap in the same namespace."""

    name: ObjectName
    """Of the object."""
    key: Key
    """In the object."""


class VariableSource(Part):
    """Where a value comes from."""

    rules = (
        Rule(
            cel="has(self.secretKeyRef) != has(self.configMapKeyRef)",
            message="set exactly one of secretKeyRef and configMapKeyRef",
            holds=lambda source: (
                (source.secret_key_ref is None) != (source.config_map_key_ref is None)
            ),
        ),
    )

    secret_key_ref: KeyReference | None = None
    """A key of a Secret."""
    config_map_key_ref: KeyReference | None = None
    """A key of a ConfigMap."""


def _is_reserved(name: str) -> str:
    return " || ".join(f"{name}.startsWith('{prefix}')" for prefix in RESERVED_VARIABLES)


class Variable(Part):
    """An environment variable, as in a container."""

    rules = (
        Rule(
            cel="!(has(self.value) && has(self.valueFrom))",
            message="value and valueFrom can't stand together",
            holds=lambda variable: variable.value is None or variable.value_from is None,
        ),
        Rule(
            cel=f"!({_is_reserved('self.name')})",
            message="names that begin with "
            + ", ".join(RESERVED_VARIABLES)
            + " are the operator's",
            field="name",
            holds=lambda variable: not variable.name.startswith(RESERVED_VARIABLES),
        ),
    )

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] = Field(
        max_length=253
    )
    """Its name. What the operator sets itself stays as it is."""
    value: str | None = Field(default=None, max_length=4096)
    """Its value."""
    value_from: VariableSource | None = None
    """Where its value comes from, read when a pod starts."""


def _without(field: str, reserved: tuple[str, ...]) -> Rule:
    prefixes = " || ".join(f"key.startsWith('{prefix}')" for prefix in reserved)
    return Rule(
        cel=f"!has(self.{field}) || !self.{field}.exists(key, {prefixes})",
        message=f"{field} that begin with {', '.join(reserved)} are the operator's",
        field=field,
        holds=lambda metadata: (
            not any(key.startswith(reserved) for key in getattr(metadata, field) or {})
        ),
    )


class TemplateMetadata(Part):
    """Labels and annotations of pods."""

    rules = (_without("labels", RESERVED_LABELS), _without("annotations", RESERVED_ANNOTATIONS))

    labels: Entries | None = None
    """Beside the operator's own."""
    annotations: Entries | None = None
    """Beside the operator's own."""


class TemplateSpec(Part):
    """Where pods run, as in a pod."""

    node_selector: Entries | None = None
    """Labels that a node must have."""
    tolerations: list[Toleration] = Field(default=[], max_length=MOST_ENTRIES)
    """Taints that a node may have."""
    affinity: dict[str, Any] | None = None
    """Rules about nodes and about other pods."""
    priority_class_name: ObjectName | None = None
    """Which pods go first when there is no room."""


class PodTemplate(Part):
    """What is added to pods; a change restarts them."""

    metadata: TemplateMetadata | None = None
    """Labels and annotations."""
    spec: TemplateSpec | None = None
    """Where they run."""
    env: list[Variable] = Field(default=[], max_length=MOST_ENTRIES)
    """Environment variables of their container, such as a setting of your own task types."""

    def is_empty(self) -> bool:
        """Whether it says nothing."""
        return self == PodTemplate()
