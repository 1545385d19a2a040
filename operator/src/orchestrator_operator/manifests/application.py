"""What our own pods share: how they find the stores, and their way to be stopped.

Before: ``credentials`` and the stores name addresses and keys.
After: ``api``, ``worker`` and ``migration`` build their pods from these parts.
"""

from collections.abc import Sequence
from typing import Any

from orchestrator_operator import names
from orchestrator_operator.manifests.context import Context, hash_of
from orchestrator_operator.manifests.credentials import (
    DATABASE,
    EDGE_TOKEN,
    POSTGRES_PORT,
    REDIS_PORT,
    USER,
)
from orchestrator_operator.manifests.pods import empty_volume, mount
from orchestrator_operator.manifests.stores import (
    CREDENTIALS_ROOT,
    CREDENTIALS_VOLUME,
    credentials_volume,
)

POSTGRES_KEY = (names.POSTGRES, "password")
REDIS_KEY = (names.REDIS, "password")
RABBITMQ_KEY = (names.RABBITMQ, "uri")
JWT_KEY = (names.JWT, "secret")
EDGE_KEY = (names.EDGE, EDGE_TOKEN)


def postgres_environment(context: Context) -> dict[str, str | int]:
    """Return the variables that lead to Postgres; the password is in a file."""
    return {
        "APP_NAME": context.name,
        "APP_ENV": "production",
        "DB_HOST": context.child(names.POSTGRES),
        "DB_PORT": POSTGRES_PORT,
        "DB_USER": USER,
        "DB_NAME": DATABASE,
        "DB_PASSWORD_FILE": _path(POSTGRES_KEY),
    }


def stores_environment(context: Context) -> dict[str, str | int]:
    """Return the variables that lead to all three stores."""
    return {
        **postgres_environment(context),
        "REDIS_HOST": context.child(names.REDIS),
        "REDIS_PORT": REDIS_PORT,
        "REDIS_PASSWORD_FILE": _path(REDIS_KEY),
        "RABBITMQ_URL_FILE": _path(RABBITMQ_KEY),
    }


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
    given = context.credentials
    mounted = [given.postgres_password, given.redis_password, given.rabbitmq_password]
    return hash_of(*mounted, *more)


def _path(key: tuple[str, str]) -> str:
    return "/".join((CREDENTIALS_ROOT, *key))
