"""The worker's own settings, and those of all that it speaks to.

Before: ``__main__`` reads them once from the environment.
After: ``app`` passes each part what it needs.
"""

import socket
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, IPvAnyNetwork

from orchestrator_core.settings import (
    AmqpSettings,
    Port,
    PostgresSettings,
    S3Settings,
    Settings,
    TracingSettings,
    read_settings,
)

PREFIX = "ORCHESTRATOR_WORKER_"
METRICS_PORT_VARIABLE = f"{PREFIX}METRICS_PORT"


def _split(value: object) -> object:
    if not isinstance(value, str):
        return value
    return [each.strip() for each in value.split(",") if each.strip()]


Networks = Annotated[tuple[IPvAnyNetwork, ...], BeforeValidator(_split)]
"""Written as ``192.0.2.0/24,2001:db8::/32``."""


class WorkerSettings(Settings):
    """How one worker process works."""

    concurrency: int = Field(default=4, ge=1, le=256, alias=f"{PREFIX}CONCURRENCY")
    """Slots: attempts that run at the same time, and child processes for plain handlers."""
    task_timeout_seconds: int = Field(
        default=900, ge=1, le=86_400, alias=f"{PREFIX}TASK_TIMEOUT_SECONDS"
    )
    """Upper bound for every attempt, whatever its task type allows."""
    drain_seconds: float = Field(default=30.0, ge=0, alias=f"{PREFIX}DRAIN_SECONDS")
    """How long running attempts may go on after SIGTERM. The pod's grace period must be
    about 15 s longer: what is left is handed back then."""
    pod_name: str = Field(
        default_factory=socket.gethostname, min_length=1, alias=f"{PREFIX}POD_NAME"
    )
    """For people and the autoscaler; never an identity."""
    health_port: Port = Field(default=8081, alias=f"{PREFIX}HEALTH_PORT")
    metrics_port: int = Field(default=9091, ge=0, le=65_535, alias=METRICS_PORT_VARIABLE)
    """Where Prometheus reads; 0 is nowhere."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", alias=f"{PREFIX}LOG_LEVEL"
    )
    lease_seconds: float = Field(default=30.0, ge=1, le=3600, alias=f"{PREFIX}LEASE_SECONDS")
    """A lost worker's task is leased again after at most this long; extended every third of it.
    ``read_load`` looks for leases that end within an hour."""
    stall_seconds: float = Field(default=60.0, ge=2, alias=f"{PREFIX}STALL_SECONDS")
    """How long an async handler may block the event loop; then the process exits. Importing a
    large library or a slow disk takes seconds."""
    max_result_bytes: int | None = Field(default=None, ge=1024, alias=f"{PREFIX}MAX_RESULT_BYTES")
    """None: as much as the store of results takes well, see ``connecting.build_storage``."""
    result_ttl_seconds: int = Field(default=30 * 86_400, ge=60, alias=f"{PREFIX}RESULT_TTL_SECONDS")
    """How long a result is kept; the task itself stays."""
    source_urls: Literal["Disabled", "Enabled"] = Field(
        default="Disabled", alias=f"{PREFIX}SOURCE_URLS"
    )
    """Whether tasks may name their inputs by URLs of the public internet."""
    source_url_max_bytes: int = Field(
        default=100 * 1024 * 1024, ge=1, alias=f"{PREFIX}SOURCE_URL_MAX_BYTES"
    )
    """Of one such input."""
    source_url_denied_networks: Networks = Field(
        default=(), alias=f"{PREFIX}SOURCE_URL_DENIED_NETWORKS"
    )
    """Networks that are public but must not be asked, as a cluster's own with public addresses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessSettings:
    """All that one worker process needs to know."""

    worker: WorkerSettings
    postgres: PostgresSettings
    amqp: AmqpSettings
    s3: S3Settings
    tracing: TracingSettings


def read_process_settings() -> ProcessSettings:
    """Read all settings from the environment.

    Raises:
        SettingsError: says which variable is wrong and what was expected.
    """
    return ProcessSettings(
        worker=read_settings(WorkerSettings),
        postgres=read_settings(PostgresSettings),
        amqp=read_settings(AmqpSettings),
        s3=read_settings(S3Settings),
        tracing=read_settings(TracingSettings),
    )
