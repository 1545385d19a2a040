"""Secrets: one random value each, made once; everything else in them is derived from it.

The random value is written by a POST that never overwrites. What clients want
beside it (an address, a URI, the store's own configuration) is applied anew
each pass from whatever value is there, so a value that somebody sets by hand
takes effect, and a Secret that was lost comes back complete. The stores read
their password at every start (see ``postgres``, ``redis``, ``rabbitmq``).

The keys follow the Service Binding specification: type, host, port, username,
password, database, uri. A store that somebody else runs has such a Secret too, written
anew from theirs on each pass: pods mount the same files either way. The edge's key is
how the API knows nginx: whoever sends it may say which client it speaks for.

Before: ``ensuring_secrets`` makes sure the random values exist.
After: pods mount single keys; hashes of them roll the pods.
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from urllib.parse import quote

from orchestrator_operator import names
from orchestrator_operator.bindings import AUTHORITY, USER, VIRTUAL_HOST, Binding
from orchestrator_operator.kinds import SECRET, Manifest
from orchestrator_operator.manifests.context import Context, build_object
from orchestrator_operator.spec import DeletionPolicy, OrchestratorSpec

REDIS_PASSWORD_LINE = "auth.conf"  # noqa: S105 - the name of a key
RABBITMQ_DEFINITIONS = "definitions.json"
EDGE_HEADER = "X-Edge-Key"
EDGE_TOKEN = "token"  # noqa: S105 - the name of a key
EDGE_TOKEN_LINE = "token.conf"  # noqa: S105 - the name of a file

SOURCE_KEYS: Mapping[str, str] = {
    names.POSTGRES: "password",
    names.REDIS: "password",
    names.RABBITMQ: "password",
    names.JWT: "secret",
    names.EDGE: "key",
    names.COOKIE: "cookie",
}
"""Component → the key of its Secret that is random; the rest of the Secret is derived."""


def components_with_secrets(spec: OrchestratorSpec) -> tuple[str, ...]:
    """Return whose Secrets there are, also as copies of others'."""
    return tuple(each for each in SOURCE_KEYS if each != names.COOKIE or spec.has_broker_cluster)


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
    derived = {
        names.POSTGRES: _postgres(given.postgres),
        names.REDIS: _redis(given.redis),
        names.RABBITMQ: _rabbitmq(given.rabbitmq),
        names.EDGE: _edge(given.edge_key),
    }
    return [
        _build(context, component, derived.get(component, {}))
        for component in components_with_secrets(context.spec)
    ]


def _build(context: Context, component: str, derived: Mapping[str, str]) -> Manifest:
    is_copy = context.is_external(component)
    if is_copy:
        derived = _without_own(derived) | _of_others(context.credentials.stores[component])
    data = {key: to_base64(value) for key, value in derived.items()}
    secret = build_object(context, SECRET, component, {"data": data} if data else {})
    # A Secret without an owner outlives the resource, and the next one of this name finds it.
    if context.spec.deletion_policy is DeletionPolicy.RETAIN and not is_copy:
        del secret["metadata"]["ownerReferences"]
    return secret


def _of_others(binding: Binding) -> dict[str, str]:
    """Return what a Secret of ours has by itself, and one of theirs is read for."""
    authority = {AUTHORITY: binding.authority} if binding.authority else {}
    return {"password": binding.password, **authority}


def _without_own(derived: Mapping[str, str]) -> dict[str, str]:
    """Return what is said to clients, without what configures a store of ours."""
    ours = {"provider", REDIS_PASSWORD_LINE, RABBITMQ_DEFINITIONS}
    return {key: value for key, value in derived.items() if key not in ours}


def _postgres(binding: Binding) -> dict[str, str]:
    query = "?sslmode=verify-full" if binding.is_tls else ""
    return {
        "type": "postgresql",
        "provider": names.APPLICATION,
        "host": binding.host,
        "port": str(binding.port),
        "username": binding.user,
        "database": binding.place,
        "uri": _uri("postgresql", binding, binding.place) + query,
    }


def _redis(binding: Binding) -> dict[str, str]:
    quoted = binding.password.replace("\\", "\\\\").replace('"', '\\"')
    return {
        "type": "redis",
        "provider": names.APPLICATION,
        "host": binding.host,
        "port": str(binding.port),
        "uri": _uri("rediss" if binding.is_tls else "redis", binding, binding.place),
        REDIS_PASSWORD_LINE: f'requirepass "{quoted}"\n',
    }


def _rabbitmq(binding: Binding) -> dict[str, str]:
    # Without a name after the slash it is the virtual host of that name.
    place = "" if binding.place == VIRTUAL_HOST else binding.place
    return {
        "type": "rabbitmq",
        "provider": names.APPLICATION,
        "host": binding.host,
        "port": str(binding.port),
        "username": binding.user,
        "uri": _uri("amqps" if binding.is_tls else "amqp", binding, place),
        RABBITMQ_DEFINITIONS: _rabbitmq_definitions(binding.password),
    }


def _uri(scheme: str, binding: Binding, place: str) -> str:
    login = f"{quote(binding.user, safe='')}:{quote(binding.password, safe='')}"
    host = f"[{binding.host}]" if ":" in binding.host else binding.host
    return f"{scheme}://{login}@{host}:{binding.port}/{quote(place, safe='')}"


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
