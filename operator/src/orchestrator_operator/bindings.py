"""How a store is reached: one type for those that the operator runs and those that it does not.

The Secrets of the latter have the keys of the Service Binding specification for Kubernetes
(https://servicebinding.io/spec/core/1.1.0/, "Well-known Secret Entries"), as the operators of
Postgres and RabbitMQ write them; what is missing is taken from ``uri``.

Before: ``ensuring_secrets`` has the store's Secret: ours with its random password, or the users'.
After: ``manifests`` lead pods to the store, ``scaled_pool`` leads the autoscaler there.
"""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote, urlsplit

from orchestrator_operator import names
from orchestrator_operator.external import External, StoreTls
from orchestrator_operator.kinds import Manifest
from orchestrator_operator.problems import SECRET_INCOMPLETE, Problem

USER: Final = "orchestrator"
DATABASE: Final = "orchestrator"
VIRTUAL_HOST: Final = "/"
PORTS: Final = {names.POSTGRES: 5432, names.REDIS: 6379, names.RABBITMQ: 5672}
AMQPS_PORT: Final = 5671
"""Of the others the usual port speaks TLS too."""
AUTHORITY: Final = "ca.crt"
PLACES: Final = {
    names.POSTGRES: "database",
    names.REDIS: "database",
    names.RABBITMQ: "virtual-host",
}
"""Component → the key of what a store is divided into."""
NEEDED: Final = {
    names.POSTGRES: ("host", "username", "password", "database"),
    names.REDIS: ("host",),
    names.RABBITMQ: ("host", "username", "password"),
}
_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9.:_-]{0,252}")
_PORT = re.compile(r"[0-9]{1,5}")
_UNREADABLE = "uri can't be read; percent-encode user name and password in it, and give one host"


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """One store: where it is, and as whom to come."""

    host: str
    port: int
    user: str = ""
    password: str = field(default="", repr=False)
    place: str = ""
    """Postgres: the database; Redis: its number; RabbitMQ: the virtual host."""
    is_tls: bool = False
    """Encrypted, with a store whose certificate is valid for its name."""
    authority: str = field(default="", repr=False)
    """PEM of the authorities to trust with TLS; empty: the usual ones."""


def bind_managed(resource: str, component: str, password: str) -> Binding:
    """Return the way to a store that the operator runs."""
    user, place = {
        names.POSTGRES: (USER, DATABASE),
        names.REDIS: ("", "0"),
        names.RABBITMQ: (USER, VIRTUAL_HOST),
    }[component]
    return Binding(
        host=names.child(resource, component),
        port=PORTS[component],
        user=user,
        password=password,
        place=place,
    )


def bind_external(component: str, external: External, secret: Manifest | None) -> Binding | Problem:
    """Return the way to a store that somebody else runs, or what its Secret lacks."""
    name, needed = external.secret_ref.name, ", ".join(NEEDED[component])
    if secret is None:
        return Problem(
            SECRET_INCOMPLETE,
            f"spec.{component}.external names the Secret {name}, which is not there; create it"
            f" with the keys {needed}, or with uri",
        )
    try:
        return _bind(component, external, _read(component, secret.get("data") or {}))
    except ValueError as error:
        return Problem(
            SECRET_INCOMPLETE,
            f"the Secret {name} of spec.{component}.external can't be used: {error}",
        )


def read_value(data: Mapping[str, str], key: str) -> str:
    """Return the text that a Secret holds under a key, empty if there is none.

    Raises:
        ValueError: it can't be read; names the key and quotes nothing.
    """
    try:
        return base64.b64decode(data.get(key, ""), validate=True).decode()
    except ValueError:
        # What the libraries say quotes what they were given, and this ends up in Events.
        raise ValueError(f"the value of key {key!r} is not base64 of UTF-8 text") from None


def _read(component: str, data: Mapping[str, str]) -> dict[str, str]:
    in_uri = ("host", "port", "username", "password", PLACES[component])
    given = {key: read_value(data, key).strip() for key in (*in_uri, AUTHORITY) if key in data}
    if all(key in given for key in in_uri):
        return given
    return {**_read_uri(component, read_value(data, "uri").strip()), **given}


def _bind(component: str, external: External, values: Mapping[str, str]) -> Binding:
    missing = [key for key in NEEDED[component] if not values.get(key)]
    if missing:
        raise ValueError(f"it lacks {', '.join(missing)}, and uri does not say it either")
    is_tls = external.tls is StoreTls.VERIFIED
    usual = AMQPS_PORT if is_tls and component == names.RABBITMQ else PORTS[component]
    host, port = values["host"], values.get("port") or str(usual)
    if not _HOST.fullmatch(host):
        raise ValueError("host is neither a name nor an address")
    if not (_PORT.fullmatch(port) and 1 <= int(port) <= 65535):  # noqa: PLR2004 - ports
        raise ValueError("port is no number from 1 to 65535")
    place = values.get(PLACES[component]) or {names.REDIS: "0"}.get(component, VIRTUAL_HOST)
    if component == names.REDIS and not (place.isascii() and place.isdigit()):
        raise ValueError("database is no number, as Redis's are")
    return Binding(
        host=host,
        port=int(port),
        user=values.get("username", ""),
        password=values.get("password", ""),
        place=place,
        is_tls=is_tls,
        authority=values.get(AUTHORITY, "") if is_tls else "",
    )


def _read_uri(component: str, uri: str) -> dict[str, str]:
    """Return what a URI says, by the keys that say the same."""
    try:
        parts = urlsplit(uri)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise ValueError(_UNREADABLE) from None
    if "@" in parts.path + parts.query + parts.fragment:
        # A slash, question mark or hash in the password ended the authority too early: the rest
        # of it would be taken for the database's name.
        raise ValueError(_UNREADABLE)
    found = {
        "host": host,
        "port": "" if port is None else str(port),
        "username": unquote(parts.username or ""),
        "password": unquote(parts.password or ""),
        PLACES[component]: unquote(parts.path.removeprefix("/")),
    }
    return {key: value for key, value in found.items() if value}
