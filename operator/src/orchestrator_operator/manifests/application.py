"""What our own pods share: how they find the stores, and their way to be stopped.

Before: ``credentials`` and the stores name addresses and keys.
After: ``api``, ``worker`` and ``migration`` build their pods from these parts.
"""

from collections.abc import Sequence
from typing import Any

from orchestrator_operator import names
from orchestrator_operator.manifests.context import Context, hash_of
from orchestrator_operator.manifests.credentials import DATABASE, POSTGRES_PORT, REDIS_PORT, USER
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


def jwt_environment() -> dict[str, str | int]:
    """Return the variable that names the file with the key that tokens are signed with."""
    return {"JWT_SECRET_FILE": _path(JWT_KEY)}


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


def credentials_hash(context: Context, *, with_jwt: bool = False) -> str:
    """Return a digest of every secret that a pod of ours mounts."""
    given = context.credentials
    mounted = [given.postgres_password, given.redis_password, given.rabbitmq_password]
    return hash_of(mounted, given.jwt_secret if with_jwt else None)


def _path(key: tuple[str, str]) -> str:
    return "/".join((CREDENTIALS_ROOT, *key))
