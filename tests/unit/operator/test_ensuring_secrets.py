"""Secrets: whose a name is, and what of a value that somebody set by hand is used."""

import base64
from pathlib import Path
from typing import Any

import pytest

from operator_testing.world import NAME, NAMESPACE, World
from orchestrator_core.settings import environment_with_files
from orchestrator_operator import names
from orchestrator_operator.ensuring_secrets import ensure_secrets
from orchestrator_operator.kinds import Manifest
from orchestrator_operator.manifests.credentials import SOURCE_KEYS, build_new_secret
from orchestrator_operator.problems import Problem
from orchestrator_operator.spec import OrchestratorSpec


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


# Values set by hand


def in_base64(value: bytes) -> str:
    return base64.b64encode(value).decode()


async def ensure_with(component: str, value: str) -> dict[str, str] | Problem:
    """Return what the operator makes of its Secrets' values where somebody set one, in base64."""
    spec = {"rabbitmq": {"managed": {"replicas": 3}}}
    world = World(spec)
    secret = build_new_secret(NAME, NAMESPACE, component, "")
    world.cluster.put({**secret, "data": {SOURCE_KEYS[component]: value}})
    ensured = await ensure_secrets(
        world.cluster, world.resource, OrchestratorSpec.model_validate(spec)
    )
    if isinstance(ensured, Problem):
        return ensured
    given = ensured.credentials
    return {
        **{store: binding.password for store, binding in given.stores.items()},
        names.JWT: given.jwt_secret,
        names.EDGE: given.edge_key,
        names.COOKIE: given.erlang_cookie,
    }


@pytest.mark.parametrize("text", ["new", "new\n", "new\n\n", "new 'pass' \\ word\n"])
@pytest.mark.parametrize("component", SOURCE_KEYS)
async def test_all_who_read_a_value_read_the_same(
    component: str, text: str, tmp_path: Path
) -> None:
    file = tmp_path / "value"
    file.write_text(text, encoding="utf-8")

    found = await ensure_with(component, in_base64(text.encode()))

    assert isinstance(found, dict)
    assert found[component] == environment_with_files({"JWT_SECRET_FILE": str(file)})["JWT_SECRET"]
    # As a shell's $(cat file) has it.
    assert found[component] == text.rstrip("\n")


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (in_base64(b"CANARY\xff"), "is not base64 of UTF-8 text"),
        ("%CANARY%", "is not base64 of UTF-8 text"),
        (in_base64(b"CANARY\ntwo"), "must be one line"),
        (in_base64(b"CANARY\x00"), "must be one line"),
        (in_base64(b"CANARY\r\n"), "must be one line"),
        (in_base64("CANARY\x85two".encode()), "must be one line"),
        (in_base64(b" CANARY"), "must be one line"),
        (in_base64(b"CANARY \n"), "must be one line"),
    ],
)
@pytest.mark.parametrize("component", [names.POSTGRES, names.REDIS, names.RABBITMQ, names.COOKIE])
async def test_a_value_that_not_all_would_read_alike_is_refused_and_not_told(
    component: str, value: str, sentence: str
) -> None:
    problem = await ensure_with(component, value)

    assert isinstance(problem, Problem)
    assert problem.reason == "SecretIncomplete"
    key = SOURCE_KEYS[component]
    told = f"Secret {NAME}-{component} can't be used: the value of key {key!r} {sentence}"
    assert problem.message.startswith(told)
    assert "CANARY" not in problem.message


@pytest.mark.parametrize("component", [names.JWT, names.EDGE])
async def test_a_key_that_no_store_reads_may_have_several_lines(component: str) -> None:
    found = await ensure_with(component, in_base64(b"one\ntwo\n"))

    assert isinstance(found, dict)
    assert found[component] == "one\ntwo"


@pytest.mark.parametrize("component", SOURCE_KEYS)
async def test_blanks_are_no_value(component: str) -> None:
    problem = await ensure_with(component, in_base64(b" \n"))

    assert isinstance(problem, Problem)
    assert f"has no key {SOURCE_KEYS[component]!r}" in problem.message


async def test_redis_gets_a_password_without_the_end_of_its_line() -> None:
    world = World()
    await world.settle()

    secret = world.child("Secret", names.REDIS)
    world.cluster.put({**secret, "data": {**secret["data"], "password": in_base64(b"new\n")}})
    await world.settle()

    data = world.child("Secret", names.REDIS)["data"]
    assert base64.b64decode(data["auth.conf"]) == b'requirepass "new"\n'
    assert base64.b64decode(data["uri"]) == b"redis://:new@demo-redis:6379/0"


async def test_of_bytes_that_are_no_text_status_tells() -> None:
    world = World()
    await world.settle()

    secret = world.child("Secret", names.JWT)
    world.cluster.put({**secret, "data": {"secret": in_base64(b"CANARY\xff")}})
    await world.make_pass()

    assert world.condition("Ready") == ("False", "SecretIncomplete")
    assert f"Secret {NAME}-jwt can't be used: the value of key 'secret'" in world.message("Ready")
    assert "CANARY" not in str(world.resource["status"])
