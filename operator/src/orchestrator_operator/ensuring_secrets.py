"""Random values that are made once and never again, and what others' Secrets say.

A POST makes a Secret and never overwrites one: if two passes race, or a
pass died after the POST, the value that is there wins.

Before: ``reconciling`` starts to act.
After: builders derive the rest of each Secret from the value (``manifests.credentials``).
"""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from orchestrator_operator import names
from orchestrator_operator.applying import AlreadyExistsError, Cluster
from orchestrator_operator.bindings import PORTS, Binding, bind_external, bind_managed
from orchestrator_operator.external import External
from orchestrator_operator.kinds import SECRET, Manifest
from orchestrator_operator.manifests.context import Credentials
from orchestrator_operator.manifests.credentials import (
    SOURCE_KEYS,
    build_new_secret,
    components_with_secrets,
    from_base64,
)
from orchestrator_operator.ownership import conflict_with
from orchestrator_operator.problems import NAME_CONFLICT, SECRET_INCOMPLETE, Problem
from orchestrator_operator.spec import OrchestratorSpec

RANDOM_BYTES = 32
NOWHERE = Binding(host="", port=0)
"""For a look at a store whose Secret is not read."""

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
        problem = _problem_with(secret, resource, component)
        if problem is not None:
            return problem
        found[component] = secret
        if component in PORTS:
            name, password = resource["metadata"]["name"], _value(secret, component)
            bindings[component] = bind_managed(name, component, password)
    return EnsuredSecrets(
        manifests=found,
        credentials=Credentials(
            stores=bindings,
            jwt_secret=_value(found[names.JWT], names.JWT),
            edge_key=_value(found[names.EDGE], names.EDGE),
            erlang_cookie=_value(found[names.COOKIE], names.COOKIE)
            if names.COOKIE in found
            else "",
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


def _problem_with(secret: Manifest, resource: Manifest, component: str) -> Problem | None:
    metadata = resource["metadata"]
    conflict = conflict_with(secret, resource=metadata["name"], uid=metadata["uid"])
    if conflict is not None:
        return conflict
    if _value(secret, component):
        return None
    return Problem(
        SECRET_INCOMPLETE,
        f"Secret {secret['metadata']['name']} has no key {SOURCE_KEYS[component]!r}; add it,"
        " or delete the Secret to have a new value made",
    )


def _value(secret: Manifest, component: str) -> str:
    return from_base64((secret.get("data") or {}).get(SOURCE_KEYS[component], ""))
