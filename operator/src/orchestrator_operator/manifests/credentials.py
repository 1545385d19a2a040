"""Secrets: one random value each, made once; everything else in them is derived from it.

The random value is written by a POST that never overwrites. What clients want
beside it (an address, a URI, the store's own configuration) is applied anew
each pass from whatever value is there, so a value that somebody sets by hand
takes effect, and a Secret that was lost comes back complete. The stores read
their password at every start (see ``postgres``, ``redis``, ``rabbitmq``).

The keys follow the Service Binding specification: type, host, port, username,
password, database, uri. The edge's key is how the API knows nginx: whoever sends it
may say which client it speaks for.

Before: ``ensuring_secrets`` makes sure the random values exist.
After: pods mount single keys; hashes of them roll the pods.
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from urllib.parse import quote

from orchestrator_operator import names
from orchestrator_operator.kinds import SECRET, Manifest
from orchestrator_operator.manifests.context import Context, build_object
from orchestrator_operator.spec import DeletionPolicy

USER = "orchestrator"
DATABASE = "orchestrator"
POSTGRES_PORT = 5432
REDIS_PORT = 6379
RABBITMQ_PORT = 5672
EDGE_HEADER = "X-Edge-Key"
EDGE_TOKEN = "token"  # noqa: S105 - the name of a key
EDGE_TOKEN_LINE = "token.conf"  # noqa: S105 - the name of a file

SOURCE_KEYS: Mapping[str, str] = {
    names.POSTGRES: "password",
    names.REDIS: "password",
    names.RABBITMQ: "password",
    names.JWT: "secret",
    names.EDGE: "key",
}
"""Component → the key of its Secret that is random; the rest of the Secret is derived."""


def build_new_secret(context_name: str, namespace: str, component: str, value: str) -> Manifest:
    """Return the Secret to POST: the random value and the labels that make it ours, no owner.

    The owner depends on ``deletionPolicy`` and is applied with the derived keys.
    """
    return {
        "apiVersion": SECRET.api_version,
        "kind": SECRET.kind,
        "metadata": {
            "name": names.child(context_name, component),
            "namespace": namespace,
            "labels": names.labels(context_name, component),
        },
        "type": "Opaque",
        "data": {SOURCE_KEYS[component]: to_base64(value)},
    }


def build_secrets(context: Context) -> list[Manifest]:
    """Return what is applied onto the existing Secrets: labels, owner and derived keys."""
    given = context.credentials
    return [
        _build(context, names.POSTGRES, _postgres(context, given.postgres_password)),
        _build(context, names.REDIS, _redis(context, given.redis_password)),
        _build(context, names.RABBITMQ, _rabbitmq(context, given.rabbitmq_password)),
        _build(context, names.JWT, {}),
        _build(context, names.EDGE, _edge(given.edge_key)),
    ]


def _build(context: Context, component: str, derived: Mapping[str, str]) -> Manifest:
    data = {key: to_base64(value) for key, value in derived.items()}
    secret = build_object(context, SECRET, component, {"data": data} if data else {})
    # A Secret without an owner outlives the resource, and the next one of this name finds it.
    if context.spec.deletion_policy is DeletionPolicy.RETAIN:
        del secret["metadata"]["ownerReferences"]
    return secret


def _postgres(context: Context, password: str) -> dict[str, str]:
    host = context.child(names.POSTGRES)
    secret = quote(password, safe="")
    return {
        "type": "postgresql",
        "provider": names.APPLICATION,
        "host": host,
        "port": str(POSTGRES_PORT),
        "username": USER,
        "database": DATABASE,
        "uri": f"postgresql://{USER}:{secret}@{host}:{POSTGRES_PORT}/{DATABASE}",
    }


def _redis(context: Context, password: str) -> dict[str, str]:
    host = context.child(names.REDIS)
    quoted = password.replace("\\", "\\\\").replace('"', '\\"')
    return {
        "type": "redis",
        "provider": names.APPLICATION,
        "host": host,
        "port": str(REDIS_PORT),
        "uri": f"redis://:{quote(password, safe='')}@{host}:{REDIS_PORT}/0",
        "auth.conf": f'requirepass "{quoted}"\n',
    }


def _rabbitmq(context: Context, password: str) -> dict[str, str]:
    host = context.child(names.RABBITMQ)
    return {
        "type": "rabbitmq",
        "provider": names.APPLICATION,
        "host": host,
        "port": str(RABBITMQ_PORT),
        "username": USER,
        "uri": f"amqp://{USER}:{quote(password, safe='')}@{host}:{RABBITMQ_PORT}/",
        "definitions.json": _rabbitmq_definitions(password),
    }


def _rabbitmq_definitions(password: str) -> str:
    """Return the broker's user and rights, imported at each of its starts."""
    user = {
        "name": USER,
        "password_hash": rabbitmq_password_hash(password),
        "hashing_algorithm": "rabbit_password_hashing_sha256",
        "tags": ["administrator"],
    }
    rights = {"user": USER, "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"}
    return json.dumps({"vhosts": [{"name": "/"}], "users": [user], "permissions": [rights]})


def _edge(key: str) -> dict[str, str]:
    """Return what nginx sends and the API expects.

    A digest, because a key that somebody sets by hand may hold what neither a header nor nginx's
    configuration can: a line's end, or a dollar sign.
    """
    token = hashlib.sha256(key.encode()).hexdigest()
    return {EDGE_TOKEN: token, EDGE_TOKEN_LINE: f"proxy_set_header {EDGE_HEADER} {token};\n"}


def rabbitmq_password_hash(password: str) -> str:
    """Return the hash as RabbitMQ stores it: four bytes of salt, then SHA-256 of salt and password.

    The salt comes from the password, so that the same password gives the same manifest. It
    stands beside the password in the same Secret, so there is nothing to guess from it.
    """
    salt = hashlib.sha256(f"salt {password}".encode()).digest()[:4]
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


def to_base64(value: str) -> str:
    """Return a value as a Secret's ``data`` holds it."""
    return base64.b64encode(value.encode()).decode()


def from_base64(value: str) -> str:
    """Return the text of a value of a Secret's ``data``."""
    return base64.b64decode(value).decode()
