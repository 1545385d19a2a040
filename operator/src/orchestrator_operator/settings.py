"""The operator's own settings, read once from the environment.

Before: the chart sets them on the operator's Deployment.
After: ``app`` wires the process by them.
"""

import json
from typing import Any

from pydantic import Field, field_validator

from orchestrator_core.settings import Port, Settings
from orchestrator_operator.images import DefaultImages


class OperatorSettings(Settings):
    """Where to watch, what to run, where to answer probes."""

    namespaces: tuple[str, ...] = Field(default=(), alias="ORCHESTRATOR_OPERATOR_NAMESPACES")
    """Comma-separated; none means the whole cluster."""
    own_namespace: str = Field(
        default="orchestrator-system", alias="ORCHESTRATOR_OPERATOR_NAMESPACE"
    )
    """Where this process runs; the stores' network policies let the autoscaler in from there."""
    images: DefaultImages = Field(default=DefaultImages(), alias="ORCHESTRATOR_OPERATOR_IMAGES")
    """A JSON object with some or all of api, worker, nginx, postgres, redis, rabbitmq."""
    health_port: Port = Field(default=8080, alias="ORCHESTRATOR_OPERATOR_HEALTH_PORT")
    metrics_port: int = Field(
        default=9090, ge=0, le=65_535, alias="ORCHESTRATOR_OPERATOR_METRICS_PORT"
    )
    """Where Prometheus reads; 0 is nowhere."""
    pod_monitor_labels: dict[str, str] = Field(
        default={}, alias="ORCHESTRATOR_OPERATOR_POD_MONITOR_LABELS"
    )
    """A JSON object: labels by which a Prometheus selects the PodMonitors that it reads."""
    log_level: str = Field(default="INFO", alias="ORCHESTRATOR_OPERATOR_LOG_LEVEL")

    @field_validator("namespaces", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:  # noqa: ANN401 - as the environment gives it
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("images", "pod_monitor_labels", mode="before")
    @classmethod
    def _parse(cls, value: Any) -> Any:  # noqa: ANN401 - as the environment gives it
        if not isinstance(value, str):
            return value
        try:
            return json.loads(value or "{}")
        except ValueError as error:
            raise ValueError(f"must be a JSON object: {error}") from error
