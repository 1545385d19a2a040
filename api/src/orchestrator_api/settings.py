"""Settings of the API, read from the environment once per process.

The original service's names and defaults work as they did; what is new has the
prefix ``ORCHESTRATOR_API_``. With ``APP_ENV=production`` a default or weak
secret refuses to start instead of serving the world.

Before: ``asgi``, ``gunicorn_config`` and ``__main__`` call ``read_process_settings``.
After: ``app`` passes the frozen models on.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from pydantic import Field, Json, SecretStr

from orchestrator_api.accounts.password_policies import PolicyName
from orchestrator_api.files.media_types import MediaTypePattern
from orchestrator_api.limits.policies import LimitRules
from orchestrator_core.errors import SettingsError
from orchestrator_core.settings import (
    DEFAULT_SECRETS,
    AmqpSettings,
    Port,
    PostgresSettings,
    RedisSettings,
    S3Settings,
    Settings,
    TracingSettings,
    read_settings,
)

PRODUCTION = "production"
FILE_TYPES = (
    "image/*",
    "video/*",
    "audio/*",
    "text/*",
    "application/json",
    "application/x-ndjson",
    "application/pdf",
    "application/vnd.apache.parquet",
    "application/octet-stream",
)
"""What tasks can work on; the last one is what clients say that do not know."""
MIN_SECRET_BYTES = 32
"""RFC 7518 section 3.2: an HS256 key has at least the size of the hash."""


class ApiSettings(Settings):
    """How this process serves."""

    app_name: str = Field(default="event-driven-task", alias="APP_NAME")
    app_env: str = Field(default="local", alias="APP_ENV")
    port: Port = Field(default=8080, alias="APP_PORT")
    jwt_secret: SecretStr = Field(
        default=SecretStr("supersecret"), alias="JWT_SECRET", min_length=1
    )
    jwt_previous_secret: SecretStr | None = Field(
        default=None, alias="JWT_PREVIOUS_SECRET", min_length=1
    )
    """Signs nothing; while it is set, access tokens signed with it are good until they expire."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", alias="ORCHESTRATOR_API_LOG_LEVEL"
    )

    access_token_ttl_seconds: int = Field(
        default=900, gt=0, le=86_400, alias="ORCHESTRATOR_API_ACCESS_TOKEN_TTL_SECONDS"
    )
    refresh_token_ttl_seconds: int = Field(
        default=604_800, gt=0, alias="ORCHESTRATOR_API_REFRESH_TOKEN_TTL_SECONDS"
    )
    password_min_length: int = Field(
        default=8, ge=1, le=128, alias="ORCHESTRATOR_API_PASSWORD_MIN_LENGTH"
    )
    """8 is the floor of OWASP ASVS 6.2.1; the original's examples have 11."""
    password_policy: PolicyName = Field(default="basic", alias="ORCHESTRATOR_API_PASSWORD_POLICY")
    """``strict`` asks for 15 characters that are no common password; see ``password_policies``."""
    bcrypt_rounds: int = Field(default=12, ge=4, le=16, alias="ORCHESTRATOR_API_BCRYPT_ROUNDS")
    """12 takes a quarter of a second on a 2 GHz core."""

    body_limit_bytes: int = Field(
        default=10 << 20, ge=1024, alias="ORCHESTRATOR_API_BODY_LIMIT_BYTES"
    )
    """A photograph of 7 MB in base64, with room around it."""
    bodies_in_memory_bytes: int = Field(
        default=64 << 20, ge=1024, alias="ORCHESTRATOR_API_BODIES_IN_MEMORY_BYTES"
    )
    """All bodies of requests under way together; beyond it 503, so that memory stays bounded."""
    waiting_tasks: int = Field(default=2_000, gt=0, alias="ORCHESTRATOR_API_WAITING_TASKS")
    """Requests that wait for the next commit; at 3,000 inserts a second, less than a second."""
    ring_lost_seconds: float = Field(
        default=10.0, gt=0, le=60, alias="ORCHESTRATOR_API_RING_LOST_SECONDS"
    )
    """A confirm takes milliseconds; after this the sweep takes a new task's ring for lost."""
    ring_again_seconds: float = Field(
        default=30.0, gt=0, le=60, alias="ORCHESTRATOR_API_RING_AGAIN_SECONDS"
    )
    """Repeated rings repair a wiped broker within the promised minute; oftener would be idle
    writes."""
    db_connections: int = Field(default=8, ge=2, le=100, alias="ORCHESTRATOR_API_DB_CONNECTIONS")

    file_limit_bytes: int = Field(
        default=100 << 20, ge=1, alias="ORCHESTRATOR_API_FILE_LIMIT_BYTES"
    )
    """Of one upload; it is never in memory as a whole."""
    file_quota_bytes: int = Field(default=1 << 30, ge=1, alias="ORCHESTRATOR_API_FILE_QUOTA_BYTES")
    """Of all uploads of a user together; each counts for at least 16 KiB."""
    file_ttl_seconds: int = Field(default=604_800, gt=0, alias="ORCHESTRATOR_API_FILE_TTL_SECONDS")
    file_types: Json[tuple[MediaTypePattern, ...]] = Field(
        default=FILE_TYPES, min_length=1, alias="ORCHESTRATOR_API_FILE_TYPES"
    )
    """A JSON list of media types that may be uploaded, such as ``["image/*", "text/csv"]``."""
    file_piece_seconds: float = Field(
        default=10.0, gt=0, alias="ORCHESTRATOR_API_FILE_PIECE_SECONDS"
    )
    """For each 256 KiB of an upload: 26 KB/s, a bad line but no attack."""
    file_upload_seconds: float = Field(
        default=900.0, gt=0, alias="ORCHESTRATOR_API_FILE_UPLOAD_SECONDS"
    )
    """For a whole upload, as long as the access token that it began with. What a process leaves
    that dies meanwhile counts against the quota until then."""
    file_uploads: int = Field(default=16, gt=0, alias="ORCHESTRATOR_API_FILE_UPLOADS")
    """Under way in this process; 1 MiB of memory each. Beyond it 503."""
    file_downloads: int = Field(default=64, gt=0, alias="ORCHESTRATOR_API_FILE_DOWNLOADS")
    """As ``file_uploads``."""
    file_transfers_per_user: int = Field(
        default=8, gt=0, alias="ORCHESTRATOR_API_FILE_TRANSFERS_PER_USER"
    )
    """Uploads, and again downloads, of one user in this process; beyond it 429."""

    watchers: int = Field(default=1_000, gt=0, alias="ORCHESTRATOR_API_WATCHERS")
    """Streams and long polls under way; 50 KB each. Beyond it 503."""
    watchers_per_user: int = Field(default=32, gt=0, alias="ORCHESTRATOR_API_WATCHERS_PER_USER")
    """Of one user; beyond it 429. A few pages open at a time, and a script that waits for tasks."""

    rate_limits: Json[LimitRules] = Field(
        default=LimitRules(), alias="ORCHESTRATOR_API_RATE_LIMITS"
    )
    """One JSON object: ``users``, ``auth`` and ``by_username``; see ``limits.policies``."""
    replicas: int = Field(default=1, ge=1, alias="ORCHESTRATOR_API_REPLICAS")
    """How many processes share the limits; while Redis is away each refills its share."""
    edge_key: SecretStr | None = Field(
        default=None, min_length=16, alias="ORCHESTRATOR_API_EDGE_KEY"
    )
    """What the edge sends as ``X-Edge-Key``; without it nobody's ``X-Forwarded-For`` counts."""
    metrics_port: int = Field(default=9090, ge=0, le=65_535, alias="ORCHESTRATOR_API_METRICS_PORT")
    """Where Prometheus reads; 0 is nowhere."""

    deadline_seconds: float = Field(
        default=4.0, gt=0, le=60, alias="ORCHESTRATOR_API_DEADLINE_SECONDS"
    )
    """Every call ends within 5 s; a second is left for the answer, also on a busy machine."""
    drain_seconds: float = Field(default=8.0, ge=0, alias="ORCHESTRATOR_API_DRAIN_SECONDS")
    """How long a stopping process waits for requests under way, then again for its queues."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessSettings:
    """All that one API process needs to know."""

    api: ApiSettings
    postgres: PostgresSettings
    redis: RedisSettings
    amqp: AmqpSettings
    s3: S3Settings = field(default_factory=S3Settings)
    tracing: TracingSettings = field(default_factory=TracingSettings)


def read_process_settings(environment: Mapping[str, str] | None = None) -> ProcessSettings:
    """Read all settings from the environment.

    Raises:
        SettingsError: says which variable is wrong and what was expected.
    """
    settings = ProcessSettings(
        api=read_settings(ApiSettings, environment),
        postgres=read_settings(PostgresSettings, environment),
        redis=read_settings(RedisSettings, environment),
        amqp=read_settings(AmqpSettings, environment),
        s3=read_settings(S3Settings, environment),
        tracing=read_settings(TracingSettings, environment),
    )
    if settings.api.app_env.lower() == PRODUCTION:
        _refuse_weak_secrets(settings)
    return settings


def _refuse_weak_secrets(settings: ProcessSettings) -> None:
    keys = {"JWT_SECRET": settings.api.jwt_secret}
    if settings.api.jwt_previous_secret is not None:
        # Whoever knows it can make tokens, though we do not.
        keys["JWT_PREVIOUS_SECRET"] = settings.api.jwt_previous_secret
    faults = [fault for name, key in keys.items() for fault in _find_key_faults(name, key)]
    if settings.postgres.password.get_secret_value() in DEFAULT_SECRETS:
        faults.append("DB_PASSWORD is missing or the default")
    if faults:
        raise SettingsError(
            f"APP_ENV=production needs secrets of its own: {'; '.join(faults)}."
            " Set them, or the files JWT_SECRET_FILE and DB_PASSWORD_FILE name"
        )


def _find_key_faults(name: str, key: SecretStr) -> Iterator[str]:
    secret = key.get_secret_value()
    if secret in DEFAULT_SECRETS:
        yield f"{name} is missing or the default"
    elif len(secret.encode()) < MIN_SECRET_BYTES:
        yield f"{name} is shorter than {MIN_SECRET_BYTES} bytes"
