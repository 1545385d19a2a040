"""Settings of the stores, read from the environment once per process.

The original service's names and defaults (``DB_HOST``, ``RABBITMQ_URL``, …)
work as they did. Each value may come from a file instead: ``DB_PASSWORD_FILE``
names one, as the official images do, so that no secret stands in an
environment.

Before: ``__main__`` of each process calls ``read_settings``.
After: the composition root passes the frozen models on.
"""

import os
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator

from orchestrator_core.errors import SettingsError

Port = Annotated[int, Field(ge=1, le=65535)]
DEFAULT_SECRETS = frozenset({"postgres", "supersecret", "guest", ""})
"""The original's defaults: fine on a laptop, refused in production."""


class Settings(BaseModel):
    """Base of all settings: frozen, filled from environment names given as aliases."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class SslMode(StrEnum):
    """How connections to Postgres are protected, in libpq's words."""

    DISABLE = "disable"
    PREFER = "prefer"
    """Encrypted if the server can; nobody's certificate is looked at."""
    REQUIRE = "require"
    """Encrypted, whoever answers."""
    VERIFY_FULL = "verify-full"
    """Encrypted, with a server whose certificate is valid for its name."""


class PostgresSettings(Settings):
    """Where Postgres is and how long to wait for it."""

    host: str = Field(default="postgres", alias="DB_HOST")
    port: Port = Field(default=5432, alias="DB_PORT")
    user: str = Field(default="postgres", alias="DB_USER")
    password: SecretStr = Field(default=SecretStr("postgres"), alias="DB_PASSWORD")
    database: str = Field(default="task_db", alias="DB_NAME")
    ssl_mode: SslMode = Field(default=SslMode.PREFER, alias="DB_SSLMODE")
    ca_file: Path | None = Field(default=None, alias="DB_SSLROOTCERT")
    """With ``verify-full``: the authorities to trust, instead of the system's."""
    authority: str | None = None
    """The same as text, for whoever has no file."""
    connect_timeout_seconds: float = Field(default=3.0, gt=0)
    """A healthy server answers in milliseconds; 3 s is a lost packet or two."""
    statement_timeout_seconds: float = Field(default=3.0, gt=0)
    """The slowest statement of the hot path takes milliseconds; 3 s means a lock, not load."""


class RedisSettings(Settings):
    """Where Redis is."""

    host: str = Field(default="redis", alias="REDIS_HOST")
    port: Port = Field(default=6379, alias="REDIS_PORT")
    user: str | None = Field(default=None, alias="REDIS_USERNAME")
    password: SecretStr | None = Field(default=None, alias="REDIS_PASSWORD")
    database: int = Field(default=0, ge=0, alias="REDIS_DB")
    """Of a Redis that several platforms share, each takes one."""
    is_tls: bool = Field(default=False, alias="REDIS_TLS")
    """Encrypted, with a server whose certificate is valid for its name."""
    ca_file: Path | None = Field(default=None, alias="REDIS_CA_FILE")
    """With TLS: the authorities to trust, instead of the system's."""
    timeout_seconds: float = Field(default=0.25, gt=0)
    """Redis is soft: no request waits longer for it."""


class AmqpSettings(Settings):
    """Where RabbitMQ is."""

    url: SecretStr = Field(
        default=SecretStr("amqp://guest:guest@rabbitmq:5672/"), alias="RABBITMQ_URL"
    )
    """``amqps://`` is encrypted, with a server whose certificate is valid for its name."""
    ca_file: Path | None = Field(default=None, alias="RABBITMQ_CA_FILE")
    """With ``amqps://``: the authorities to trust, instead of the system's."""
    connect_timeout_seconds: float = Field(default=5.0, gt=0)
    confirm_timeout_seconds: float = Field(default=5.0, gt=0)
    """A quorum queue confirms after an fsync, in milliseconds; later means an alarm or a hang."""


class S3Settings(Settings):
    """Where results are kept if not in Postgres; without a bucket, they are there."""

    bucket: str | None = Field(
        default=None, alias="RESULTS_S3_BUCKET", pattern=r"^[A-Za-z0-9._-]{1,255}$"
    )
    endpoint: str | None = Field(
        default=None, alias="RESULTS_S3_ENDPOINT", pattern=r"^https?://[^\s/?#@]+/?$"
    )
    """None: that of AWS for the region."""
    region: str = Field(
        default="us-east-1", alias="RESULTS_S3_REGION", pattern=r"^[A-Za-z0-9-]{1,64}$"
    )
    prefix: str = Field(
        default="", alias="RESULTS_S3_PREFIX", pattern=r"^[A-Za-z0-9!_.*'()/-]{0,512}$"
    )
    """Before every key, so that platforms can share a bucket."""
    access_key_id: SecretStr | None = Field(default=None, alias="RESULTS_S3_ACCESS_KEY_ID")
    """None, as the secret key: what the pod's own identity gives, or the usual variables."""
    secret_access_key: SecretStr | None = Field(default=None, alias="RESULTS_S3_SECRET_ACCESS_KEY")
    ca_file: Path | None = Field(default=None, alias="RESULTS_S3_CA_FILE")
    """Authorities to trust beside the usual ones."""

    @model_validator(mode="after")
    def _require_both_keys(self) -> Self:
        if (self.access_key_id is None) != (self.secret_access_key is None):
            raise ValueError(
                "RESULTS_S3_ACCESS_KEY_ID and RESULTS_S3_SECRET_ACCESS_KEY belong together: set"
                " both or neither"
            )
        return self


class TracingSettings(Settings):
    """Where spans go, in OpenTelemetry's own words; without a collector there are none."""

    endpoint: str | None = Field(
        default=None, alias="OTEL_EXPORTER_OTLP_ENDPOINT", pattern=r"^https?://[^\s?#@]+$"
    )
    """Of a collector that speaks OTLP over HTTP, such as ``http://collector:4318``."""
    sampling_ratio: float = Field(default=0.1, ge=0, le=1, alias="OTEL_TRACES_SAMPLER_ARG")
    """Of requests that bring no ``traceparent``, how many are traced. Those that do bring the
    decision as well."""


SettingsT = TypeVar("SettingsT", bound=Settings)


def environment_with_files(environment: Mapping[str, str]) -> dict[str, str]:
    """Return ``environment`` with each ``X_FILE`` replaced by ``X``, the file's stripped text.

    Raises:
        SettingsError: a named file can't be read, or both ``X`` and ``X_FILE`` are set.
    """
    values = dict(environment)
    for name, path in environment.items():
        target = name.removesuffix("_FILE")
        if target == name or target not in FILE_CAPABLE_NAMES:
            continue
        if target in environment:
            raise SettingsError(f"{target} and {name} are both set; set one of them")
        try:
            values[target] = Path(path).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise SettingsError(f"{name} names {path}, which can't be read: {error}") from error
        except UnicodeDecodeError:
            # The error quotes what it can't decode.
            raise SettingsError(f"{name} names {path}, which is not UTF-8 text") from None
    return values


FILE_CAPABLE_NAMES = frozenset(
    {
        "DB_PASSWORD",
        "REDIS_PASSWORD",
        "RABBITMQ_URL",
        "JWT_SECRET",
        "JWT_PREVIOUS_SECRET",
        "ORCHESTRATOR_API_EDGE_KEY",
        "SMTP_USERNAME",
        "SMTP_PASSWORD",
        "RESULTS_S3_ACCESS_KEY_ID",
        "RESULTS_S3_SECRET_ACCESS_KEY",
    }
)
"""Only these: a stray ``SOMETHING_FILE`` of another program is none of our business."""


def read_settings(
    model: type[SettingsT], environment: Mapping[str, str] | None = None
) -> SettingsT:
    """Read ``model`` from the environment, secrets from files where ``X_FILE`` is set.

    Raises:
        SettingsError: names each variable that is wrong and what was expected, never its value.
    """
    values = environment_with_files(os.environ if environment is None else environment)
    try:
        return model.model_validate(values)
    except ValidationError as error:
        reasons = "; ".join(
            f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}"
            for fault in error.errors(include_input=False, include_url=False)
        )
        raise SettingsError(reasons) from None
