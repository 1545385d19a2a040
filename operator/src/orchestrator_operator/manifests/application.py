"""What our own pods share: how they find the stores, and their way to be stopped.

Before: ``credentials`` and the stores name addresses and keys.
After: ``api``, ``worker`` and ``migration`` build their pods from these parts.
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from orchestrator_operator import names
from orchestrator_operator.bindings import AUTHORITY, Binding
from orchestrator_operator.manifests.context import Context, hash_of
from orchestrator_operator.manifests.credentials import EDGE_TOKEN
from orchestrator_operator.manifests.pods import empty_volume, mount
from orchestrator_operator.manifests.stores import (
    CREDENTIALS_ROOT,
    CREDENTIALS_VOLUME,
    credentials_volume,
)

PASSWORD = "password"  # noqa: S105 - the name of a key
URI = "uri"
METRICS_PORT = 9090
METRICS = "metrics"
"""The name of the port on which each of our processes serves them."""
JWT_KEY = (names.JWT, "secret")
EDGE_KEY = (names.EDGE, EDGE_TOKEN)


def postgres_environment(context: Context) -> dict[str, str | int]:
    """Return the variables that lead to Postgres; the password is in a file."""
    postgres = context.credentials.postgres
    values: dict[str, str | int] = {
        "APP_NAME": context.name,
        "APP_ENV": "production",
        "DB_HOST": postgres.host,
        "DB_PORT": postgres.port,
        "DB_USER": postgres.user,
        "DB_NAME": postgres.place,
        "DB_PASSWORD_FILE": _path((names.POSTGRES, PASSWORD)),
    }
    if context.is_external(names.POSTGRES):
        values["DB_SSLMODE"] = "verify-full" if postgres.is_tls else "disable"
    return {**values, **_authority("DB_SSLROOTCERT", names.POSTGRES, postgres)}


def stores_environment(context: Context) -> dict[str, str | int]:
    """Return the variables that lead to all three stores."""
    return {
        **postgres_environment(context),
        **_redis_environment(context),
        "RABBITMQ_URL_FILE": _path((names.RABBITMQ, URI)),
        **_authority("RABBITMQ_CA_FILE", names.RABBITMQ, context.credentials.rabbitmq),
    }


def _redis_environment(context: Context) -> dict[str, str | int]:
    redis = context.credentials.redis
    values: dict[str, str | int] = {"REDIS_HOST": redis.host, "REDIS_PORT": redis.port}
    if redis.password:
        values["REDIS_PASSWORD_FILE"] = _path((names.REDIS, PASSWORD))
    if context.is_external(names.REDIS):
        values |= {"REDIS_DB": redis.place, "REDIS_TLS": str(redis.is_tls).lower()}
        values |= {"REDIS_USERNAME": redis.user} if redis.user else {}
    return {**values, **_authority("REDIS_CA_FILE", names.REDIS, redis)}


def _authority(variable: str, component: str, binding: Binding) -> dict[str, str | int]:
    return {variable: _path((component, AUTHORITY))} if binding.authority else {}


def postgres_files(context: Context) -> list[tuple[str, str]]:
    """Return which keys of which components' Secrets lead to Postgres."""
    return [
        (names.POSTGRES, PASSWORD),
        *_authority_file(names.POSTGRES, context.credentials.postgres),
    ]


def stores_files(context: Context) -> list[tuple[str, str]]:
    """Return which keys of which components' Secrets lead to all three stores."""
    given = context.credentials
    return [
        *postgres_files(context),
        *([(names.REDIS, PASSWORD)] if given.redis.password else ()),
        *_authority_file(names.REDIS, given.redis),
        (names.RABBITMQ, URI),
        *_authority_file(names.RABBITMQ, given.rabbitmq),
    ]


def _authority_file(component: str, binding: Binding) -> list[tuple[str, str]]:
    return [(component, AUTHORITY)] if binding.authority else []


def keys_environment() -> dict[str, str | int]:
    """Return the variables that name the files with the API's own keys."""
    return {
        "JWT_SECRET_FILE": _path(JWT_KEY),
        "ORCHESTRATOR_API_EDGE_KEY_FILE": _path(EDGE_KEY),
    }


def application_volumes(
    context: Context, keys: Sequence[tuple[str, str]], *, tmp_size_limit: str
) -> list[dict[str, Any]]:
    """Return the volumes of a pod of ours."""
    return [credentials_volume(context, *keys), empty_volume("tmp", size_limit=tmp_size_limit)]


def application_mounts() -> list[dict[str, Any]]:
    """Return where those volumes appear."""
    return [
        mount(CREDENTIALS_VOLUME, CREDENTIALS_ROOT, is_read_only=True),
        mount("tmp", "/tmp"),  # noqa: S108 - a path in the pod
    ]


def credentials_hash(context: Context, *more: str) -> str:
    """Return a digest of every secret that a pod of ours mounts: the stores', and ``more``."""
    mounted = [
        asdict(binding) if context.is_external(component) else binding.password
        for component, binding in context.credentials.stores.items()
    ]
    return hash_of(*mounted, *more)


def _path(key: tuple[str, str]) -> str:
    return "/".join((CREDENTIALS_ROOT, *key))
