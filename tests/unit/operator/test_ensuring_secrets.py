"""Secrets: whose a name is, and what of a value that somebody set by hand is used."""

import base64
from typing import Any

import pytest

from operator_testing.world import NAME, NAMESPACE, World
from orchestrator_operator import names
from orchestrator_operator.kinds import Manifest


def a_secret(name: str, **values: str) -> Manifest:
    data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
    metadata = {"name": name, "namespace": NAMESPACE}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data}


def on_postgres_of_others(secret: str) -> dict[str, Any]:
    return {"postgres": {"external": {"secretRef": {"name": secret}}}}


# Names


@pytest.mark.parametrize("labels", [{}, names.labels(NAME, names.POSTGRES)])
@pytest.mark.parametrize("component", [names.POSTGRES, names.JWT])
async def test_a_secret_of_others_under_a_name_of_ours_is_refused(
    component: str, labels: dict[str, str]
) -> None:
    name = names.child(NAME, component)
    world = World(on_postgres_of_others(name))
    theirs = a_secret(name, uri="postgresql://app:of-theirs@db/tasks", secret="x")
    theirs["metadata"]["labels"] = labels
    world.cluster.put(theirs)
    before = world.child("Secret", component)

    await world.settle()

    assert world.condition("Degraded") == ("True", "NameConflict")
    assert world.message("Ready") == (
        f"spec.postgres.external names the Secret {name}, a name under which the operator keeps"
        " its own; give yours another name"
    )
    assert world.child("Secret", component) == before
    assert [key for key in world.cluster.objects if key[0] == "Secret"] == [
        ("Secret", NAMESPACE, name)
    ]


async def test_a_paused_resource_with_such_a_name_is_looked_at() -> None:
    name = names.child(NAME, names.POSTGRES)
    world = World(on_postgres_of_others(name))
    world.cluster.put(a_secret(name, uri="postgresql://app:of-theirs@db/tasks"))
    world.annotate({names.PAUSE_ANNOTATION: names.PAUSE_VALUE})
    before = world.child("Secret", names.POSTGRES)

    await world.make_pass()

    assert world.condition("Paused")[0] == "True"
    assert world.child("Secret", names.POSTGRES) == before


async def test_another_name_that_begins_with_the_resources_is_fine() -> None:
    world = World(on_postgres_of_others(f"{NAME}-postgres-login"))
    world.cluster.put(a_secret(f"{NAME}-postgres-login", uri="postgresql://app:of-theirs@db/tasks"))

    await world.settle()

    assert world.condition("Ready")[0] == "True"
