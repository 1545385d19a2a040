"""The stores of a platform, reached from beside the cluster.

Before: a platform runs its stores itself.
After: tests look into them, or put in what no part of the platform would.
"""

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote

from orchestrator_core.settings import AmqpSettings, PostgresSettings
from platform_under_test import Platform, port_forward


@contextmanager
def postgres_of(platform: Platform) -> Iterator[PostgresSettings]:
    """Open a tunnel to Postgres' Service; give the settings to connect with."""
    login = _secret(platform, "postgres")
    with port_forward(platform, "postgres", 5432) as port:
        yield PostgresSettings(
            DB_HOST="127.0.0.1",
            DB_PORT=port,
            DB_USER=login["username"],
            DB_PASSWORD=login["password"],
            DB_NAME=login["database"],
        )


@contextmanager
def rabbitmq_of(platform: Platform) -> Iterator[AmqpSettings]:
    """Open a tunnel to RabbitMQ's Service; give the settings to connect with."""
    login = _secret(platform, "rabbitmq")
    account = f"{login['username']}:{quote(login['password'], safe='')}"
    with port_forward(platform, "rabbitmq", 5672) as port:
        yield AmqpSettings(RABBITMQ_URL=f"amqp://{account}@127.0.0.1:{port}/")


def _secret(platform: Platform, component: str) -> dict[str, str]:
    data = platform.get("secret", f"{platform.name}-{component}")["data"]
    return {key: base64.b64decode(value).decode() for key, value in data.items()}
