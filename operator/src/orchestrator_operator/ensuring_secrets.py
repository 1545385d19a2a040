"""Random values that are made once and never again, and what others' Secrets say.

A POST makes a Secret and never overwrites one: if two passes race, or a
pass died after the POST, the value that is there wins.

Before: ``reconciling`` starts to act.
After: builders derive the rest of each Secret from the value (``manifests.credentials``).
"""

import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from orchestrator_operator import names
from orchestrator_operator.applying import AlreadyExistsError, Cluster
from orchestrator_operator.bindings import (
    PORTS,
    Binding,
    bind_external,
    bind_managed,
    read_value,
)
from orchestrator_operator.external import External
from orchestrator_operator.kinds import SECRET, Manifest
from orchestrator_operator.manifests.context import Credentials
from orchestrator_operator.manifests.credentials import (
    SOURCE_KEYS,
    build_new_secret,
    components_with_secrets,
)
from orchestrator_operator.ownership import conflict_with
from orchestrator_operator.problems import NAME_CONFLICT, SECRET_INCOMPLETE, Problem
from orchestrator_operator.spec import OrchestratorSpec

RANDOM_BYTES = 32
NOWHERE = Binding(host="", port=0)
"""For a look at a store whose Secret is not read."""
READ_BY_STORES = frozenset({*PORTS, names.COOKIE})
"""Whose values become part of a statement, or of a line of a store's configuration."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")

RandomText = Callable[[], str]


def random_text() -> str:
    """Return 256 random bits in letters that need no quoting anywhere."""
    return secrets.token_urlsafe(RANDOM_BYTES)


@dataclass(frozen=True, slots=True, kw_only=True)
class EnsuredSecrets:
    """The Secrets as they are, and what they hold."""

    manifests: Mapping[str, Manifest]
    """Component → its Secret, where the operator makes the value."""
    credentials: Credentials


async def ensure_secrets(
    cluster: Cluster, resource: Manifest, spec: OrchestratorSpec, random: RandomText = random_text
) -> EnsuredSecrets | Problem:
    """Make the Secrets that are missing and read the others, also those of others' stores."""
    taken = _find_taken_name(resource["metadata"]["name"], spec)
    if taken is not None:
        return taken
    found: dict[str, Manifest] = {}
    values: dict[str, str] = {}
    bindings: dict[str, Binding] = {}
    for component in components_with_secrets(spec):
        external = spec.external_stores.get(component)
        if external is not None:
            binding = await _read_external(cluster, resource, component, external)
            if isinstance(binding, Problem):
                return binding
            bindings[component] = binding
            continue
        secret = await _get_or_create(cluster, resource, component, random)
        value = _read_own(secret, resource, component)
        if isinstance(value, Problem):
            return value
        found[component], values[component] = secret, value
        if component in PORTS:
            bindings[component] = bind_managed(resource["metadata"]["name"], component, value)
    return EnsuredSecrets(
        manifests=found,
        credentials=Credentials(
            stores=bindings,
            jwt_secret=values[names.JWT],
            edge_key=values[names.EDGE],
            erlang_cookie=values.get(names.COOKIE, ""),
        ),
    )


async def look_at_secrets(
    cluster: Cluster, resource: Manifest, spec: OrchestratorSpec
) -> Credentials:
    """Return what others' Secrets say of their stores, for a look that writes nothing."""
    bindings = dict.fromkeys(PORTS, NOWHERE)
    for component, external in spec.external_stores.items():
        binding = await _read_external(cluster, resource, component, external)
        if isinstance(binding, Binding):
            bindings[component] = binding
    return Credentials(stores=bindings, jwt_secret="", edge_key="")


def _find_taken_name(resource: str, spec: OrchestratorSpec) -> Problem | None:
    """Return which Secret of others has the name of one of ours, and would be written over."""
    ours = {names.child(resource, component) for component in components_with_secrets(spec)}
    for component, external in spec.external_stores.items():
        name = external.secret_ref.name
        if name in ours:
            return Problem(
                NAME_CONFLICT,
                f"spec.{component}.external names the Secret {name}, a name under which the"
                " operator keeps its own; give yours another name",
            )
    return None


async def _read_external(
    cluster: Cluster, resource: Manifest, component: str, external: External
) -> Binding | Problem:
    namespace = resource["metadata"]["namespace"]
    secret = await cluster.get(SECRET, namespace, external.secret_ref.name)
    return bind_external(component, external, secret)


async def _get_or_create(
    cluster: Cluster, resource: Manifest, component: str, random: RandomText
) -> Manifest:
    name, namespace = resource["metadata"]["name"], resource["metadata"]["namespace"]
    secret = await cluster.get(SECRET, namespace, names.child(name, component))
    if secret is not None:
        return secret
    new = build_new_secret(name, namespace, component, random())
    try:
        return await cluster.create(new, field_manager=names.FIELD_MANAGER)
    except AlreadyExistsError:
        made = await cluster.get(SECRET, namespace, names.child(name, component))
        # Gone again in between: the next pass starts over.
        return new if made is None else made


def _read_own(secret: Manifest, resource: Manifest, component: str) -> str | Problem:
    """Return the value that was made once or set by hand, without the blanks around it."""
    metadata, key = resource["metadata"], SOURCE_KEYS[component]
    conflict = conflict_with(secret, resource=metadata["name"], uid=metadata["uid"])
    if conflict is not None:
        return conflict
    told = f"Secret {secret['metadata']['name']}"
    try:
        text = read_value(secret.get("data") or {}, key)
    except ValueError as error:
        return _not_usable(f"{told} can't be used: {error}; correct it")
    if not text.strip():
        return _not_usable(f"{told} has no key {key!r}; add it")
    if component in READ_BY_STORES and not _is_line(text):
        return _not_usable(
            f"{told} can't be used: the value of key {key!r} must be one line without control"
            " characters, and without blanks around it; correct it"
        )
    return text.strip()


def _is_line(text: str) -> bool:
    """Return whether everybody who reads this from a file reads the same.

    Our own programs drop all the blanks around it, a shell only the ends of lines after it.
    """
    line = text.rstrip("\n")
    return line == line.strip() and not _CONTROL.search(line)


def _not_usable(found: str) -> Problem:
    return Problem(SECRET_INCOMPLETE, f"{found}, or delete the Secret to have a new value made")
