"""Random values that are made once and never again.

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
from orchestrator_operator.kinds import SECRET, Manifest
from orchestrator_operator.manifests.context import Credentials
from orchestrator_operator.manifests.credentials import (
    SOURCE_KEYS,
    build_new_secret,
    from_base64,
)
from orchestrator_operator.ownership import conflict_with
from orchestrator_operator.problems import SECRET_INCOMPLETE, Problem

RANDOM_BYTES = 32

RandomText = Callable[[], str]


def random_text() -> str:
    """Return 256 random bits in letters that need no quoting anywhere."""
    return secrets.token_urlsafe(RANDOM_BYTES)


@dataclass(frozen=True, slots=True, kw_only=True)
class EnsuredSecrets:
    """The Secrets as they are, and what they hold."""

    manifests: Mapping[str, Manifest]
    """Component → its Secret."""
    credentials: Credentials


async def ensure_secrets(
    cluster: Cluster, resource: Manifest, random: RandomText = random_text
) -> EnsuredSecrets | Problem:
    """Make the Secrets that are missing and read the others."""
    found: dict[str, Manifest] = {}
    for component in SOURCE_KEYS:
        secret = await _get_or_create(cluster, resource, component, random)
        problem = _problem_with(secret, resource, component)
        if problem is not None:
            return problem
        found[component] = secret
    values = {component: _value(secret, component) for component, secret in found.items()}
    return EnsuredSecrets(
        manifests=found,
        credentials=Credentials(
            postgres_password=values[names.POSTGRES],
            redis_password=values[names.REDIS],
            rabbitmq_password=values[names.RABBITMQ],
            jwt_secret=values[names.JWT],
            edge_key=values[names.EDGE],
        ),
    )


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
