"""How stores are reached: what Secrets of others may say, and what pods get of it."""

import base64
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from operator_testing.contexts import CREDENTIALS, a_context
from operator_testing.world import NAME, NAMESPACE, World, a_resource
from orchestrator_operator import names
from orchestrator_operator.bindings import Binding, bind_external, bind_managed
from orchestrator_operator.conditions import Fact
from orchestrator_operator.external import External
from orchestrator_operator.kinds import Manifest
from orchestrator_operator.observing import Observed
from orchestrator_operator.problems import Problem
from orchestrator_operator.scaled_pool import to_postgres_settings
from orchestrator_operator.status import ScalingView, Situation, state_facts

PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----"
THEIRS = External.model_validate({"secretRef": {"name": "theirs"}})
UNPROTECTED = External.model_validate({"secretRef": {"name": "theirs"}, "tls": "Disabled"})


def a_secret(name: str = "theirs", **values: str) -> Manifest:
    data = {
        key.replace("_", "-").replace("ca-crt", "ca.crt"): base64.b64encode(value.encode()).decode()
        for key, value in values.items()
    }
    metadata = {"name": name, "namespace": NAMESPACE}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data}


def test_a_binding_says_all() -> None:
    secret = a_secret(
        host="db.example.com",
        port="6432",
        username="app",
        password="p/w",
        database="tasks",
        ca_crt=PEM,
    )

    assert bind_external(names.POSTGRES, THEIRS, secret) == Binding(
        host="db.example.com",
        port=6432,
        user="app",
        password="p/w",
        place="tasks",
        is_tls=True,
        authority=PEM,
    )


@pytest.mark.parametrize(
    ("component", "uri", "expected"),
    [
        (
            names.POSTGRES,
            "postgresql://app:p%2Fw@db.example.com/tasks?sslmode=require",
            Binding(host="db.example.com", port=5432, user="app", password="p/w", place="tasks"),
        ),
        (
            names.RABBITMQ,
            "amqp://app:pw@[2001:db8::5]:5673/%2Fteam",
            Binding(host="2001:db8::5", port=5673, user="app", password="pw", place="/team"),
        ),
        (
            names.RABBITMQ,
            "amqp://app:pw@mq",
            Binding(host="mq", port=5672, user="app", password="pw", place="/"),
        ),
        (
            names.REDIS,
            "redis://:pw@cache:6380/3",
            Binding(host="cache", port=6380, password="pw", place="3"),
        ),
        (names.REDIS, "redis://cache", Binding(host="cache", port=6379, place="0")),
    ],
)
def test_what_is_missing_is_taken_from_the_uri(component: str, uri: str, expected: Binding) -> None:
    assert bind_external(component, UNPROTECTED, a_secret(uri=uri)) == expected


def test_keys_come_before_the_uri() -> None:
    secret = a_secret(uri="redis://cache/3", host="other", database="5\n")

    found = bind_external(names.REDIS, UNPROTECTED, secret)

    assert found == Binding(host="other", port=6379, place="5")


def test_rabbitmq_over_tls_has_a_port_of_its_own() -> None:
    found = bind_external(names.RABBITMQ, THEIRS, a_secret(uri="amqps://app:pw@mq"))

    assert isinstance(found, Binding)
    assert (found.port, found.is_tls) == (5671, True)


def test_without_tls_no_authority_is_needed() -> None:
    found = bind_external(names.REDIS, UNPROTECTED, a_secret(host="cache", ca_crt=PEM))

    assert isinstance(found, Binding)
    assert (found.is_tls, found.authority) == (False, "")


@pytest.mark.parametrize(
    ("component", "secret", "sentence"),
    [
        (names.POSTGRES, None, "names the Secret theirs, which is not there; create it with"),
        (names.POSTGRES, a_secret(), "it lacks host, username, password, database"),
        (names.RABBITMQ, a_secret(host="mq", username="u"), "it lacks password"),
        (names.POSTGRES, a_secret(uri="postgresql://u:p@db"), "it lacks database"),
        (names.REDIS, a_secret(host="cache", port="many"), "port is no number"),
        (names.REDIS, a_secret(host="cache", port="70000"), "port is no number"),
        (names.REDIS, a_secret(host="a b"), "host is neither a name nor an address"),
        (names.REDIS, a_secret(host="x\nDB_HOST: y"), "host is neither"),
        (names.REDIS, a_secret(host="cache", database="tasks"), "database is no number"),
        (names.REDIS, a_secret(host="cache", port="9" * 5000), "port is no number"),
        (names.REDIS, a_secret(uri="redis://cache:99999999"), "uri can't be read"),
        (
            names.REDIS,
            {**a_secret(), "data": {"host": base64.b64encode(b"\xff\xfe").decode()}},
            "can't be used: the value of key 'host' is not base64 of UTF-8 text",
        ),
        (names.REDIS, {**a_secret(), "data": {"host": "%%%"}}, "the value of key 'host' is not"),
        (names.REDIS, {**a_secret(), "data": {"uri": "%%%"}}, "the value of key 'uri' is not"),
    ],
)
def test_what_a_secret_lacks_is_said(
    component: str, secret: Manifest | None, sentence: str
) -> None:
    problem = bind_external(component, THEIRS, secret)

    assert isinstance(problem, Problem)
    assert problem.reason == "SecretIncomplete"
    assert sentence in problem.message


@pytest.mark.parametrize(
    ("component", "uri"),
    [
        (names.POSTGRES, "postgresql://app:CANARY/two@db:5432/t"),
        (names.POSTGRES, "postgresql://app:CANARY?two@db:5432/t"),
        (names.POSTGRES, "postgresql://app:CANARY#two@db:5432/t"),
        (names.POSTGRES, "postgresql://app:123/CANARY@db:5432/t"),
        (names.POSTGRES, "postgresql://app:123?CANARY@db:5432/t"),
        (names.POSTGRES, "postgresql://app:123#CANARY@db:5432/t"),
        (names.POSTGRES, "postgresql://app:p@CANARY/two@db:5432/t"),
        (names.POSTGRES, "postgresql://app:[CANARY@db:5432/t"),
        (names.POSTGRES, "postgresql://app:CANARY\u2100two@db:5432/t"),
        (names.POSTGRES, "postgresql:app:CANARY@db:5432/t"),
        (names.POSTGRES, "app:CANARY@db:5432/t"),
        (names.POSTGRES, "postgresql://app:CANARY@db:5432,other:5432/t"),
        (names.RABBITMQ, "amqp://app:5673/CANARY@mq/"),
        (names.REDIS, "redis://:CANARY/two@cache:6379/0"),
        (names.REDIS, "redis://:123/CANARY@cache:6379/0"),
    ],
)
def test_of_a_uri_that_cannot_be_read_nothing_is_told(component: str, uri: str) -> None:
    problem = bind_external(component, UNPROTECTED, a_secret(uri=uri))

    assert problem == Problem(
        "SecretIncomplete",
        f"the Secret theirs of spec.{component}.external can't be used: uri can't be read;"
        " percent-encode user name and password in it, and give one host",
    )


@pytest.mark.parametrize("key", ["host", "port", "username", "password", "database", "uri"])
def test_of_a_value_that_cannot_be_read_nothing_is_told(key: str) -> None:
    secret = a_secret(host="db")
    secret["data"][key] = base64.b64encode(b"CANARY\xa7").decode()

    problem = bind_external(names.POSTGRES, UNPROTECTED, secret)

    assert problem == Problem(
        "SecretIncomplete",
        "the Secret theirs of spec.postgres.external can't be used:"
        f" the value of key {key!r} is not base64 of UTF-8 text",
    )


@pytest.mark.parametrize("uri", ["postgresql://app:CANARY/two@db/t", "://[", "%%%"])
def test_where_all_is_given_the_uri_does_not_matter(uri: str) -> None:
    secret = a_secret(
        host="db", port="5432", username="app", password="p", database="tasks", uri=uri
    )

    found = bind_external(names.POSTGRES, UNPROTECTED, secret)

    assert found == Binding(host="db", port=5432, user="app", password="p", place="tasks")


def test_what_nobody_asks_for_may_be_anything() -> None:
    secret = a_secret(uri="redis://cache")
    secret["data"]["keystore.p12"] = base64.b64encode(b"\xff\xfe").decode()

    found = bind_external(names.REDIS, UNPROTECTED, secret)

    assert found == Binding(host="cache", port=6379, place="0")


def test_a_password_of_a_uri_is_in_no_other_field() -> None:
    uri = "postgresql://app:p@CANARY%2F%3F%23two@db/tasks"

    found = bind_external(names.POSTGRES, UNPROTECTED, a_secret(uri=uri))

    assert isinstance(found, Binding)
    assert found.password == "p@CANARY/?#two"
    assert "CANARY" not in repr(replace(found, password=""))


def test_no_password_is_shown() -> None:
    assert "hidden" not in repr(bind_managed("demo", names.POSTGRES, "hidden"))


# A whole platform on stores of others


SPEC: dict[str, Any] = {
    "postgres": {"external": {"secretRef": {"name": "db"}}},
    "redis": {"external": {"secretRef": {"name": "cache"}}},
    "rabbitmq": {"external": {"secretRef": {"name": "mq"}, "tls": "Disabled"}},
}
SECRETS = {
    "db": a_secret(
        "db", uri="postgresql://app:of-theirs@db.example.com/tasks", ca_crt=PEM, port="6432"
    ),
    "cache": a_secret("cache", host="cache"),
    "mq": a_secret("mq", uri="amqp://app:of-theirs@mq:5673/tasks"),
}


async def a_world_on_others(**changed: Manifest) -> World:
    world = World(SPEC)
    for secret in {**SECRETS, **changed}.values():
        world.cluster.put(secret)
    await world.settle()
    return world


async def test_a_platform_runs_on_stores_of_others() -> None:
    world = await a_world_on_others()

    assert world.condition("Ready") == ("True", "AllComponentsReady")
    assert world.condition("PostgresReady") == ("True", "External")
    kinds = {(kind, name) for kind, _, name in world.cluster.objects}
    assert not [name for kind, name in kinds if kind == "StatefulSet"]
    assert {name for kind, name in kinds if kind == "NetworkPolicy"} == {
        f"{NAME}-{part}" for part in ("default-deny", "migrate", "api", "edge", "worker")
    }
    parts = {part["name"] for part in world.resource["status"]["components"]}
    assert parts == {"api", "edge", "worker"}


async def test_pods_are_led_to_stores_of_others() -> None:
    world = await a_world_on_others()

    pod = world.child("Deployment", "worker")["spec"]["template"]["spec"]
    given = {each["name"]: each.get("value") for each in pod["containers"][0]["env"]}
    assert (given["DB_HOST"], given["DB_PORT"], given["DB_NAME"], given["DB_USER"]) == (
        "db.example.com",
        "6432",
        "tasks",
        "app",
    )
    assert given["DB_SSLMODE"] == "verify-full"
    assert given["DB_SSLROOTCERT"] == "/etc/orchestrator/postgres/ca.crt"
    assert (given["REDIS_HOST"], given["REDIS_DB"], given["REDIS_TLS"]) == ("cache", "0", "true")
    assert "REDIS_PASSWORD_FILE" not in given
    secret = world.child("Secret", "rabbitmq")["data"]
    assert base64.b64decode(secret["uri"]) == b"amqp://app:of-theirs@mq:5673/tasks"
    assert set(secret) == {"type", "host", "port", "username", "password", "uri"}


async def test_what_others_change_restarts_the_pods() -> None:
    world = await a_world_on_others()
    before = world.child("Deployment", "worker")["spec"]["template"]

    world.cluster.put(a_secret("mq", uri="amqp://app:another@mq:5673/tasks"))
    await world.settle()

    assert world.child("Deployment", "worker")["spec"]["template"] != before
    assert world.condition("Ready")[0] == "True"


async def test_a_secret_of_others_that_is_gone_is_told_and_nothing_stops() -> None:
    world = await a_world_on_others()
    before = world.child("Deployment", "api")

    world.cluster.remove(("Secret", NAMESPACE, "db"))
    await world.make_pass()

    assert world.condition("Degraded") == ("True", "SecretIncomplete")
    assert "Secret db, which is not there" in world.message("Ready")
    assert world.child("Deployment", "api") == before


async def test_a_paused_platform_on_stores_of_others_is_still_known_to_be_migrated() -> None:
    world = await a_world_on_others()
    world.annotate({"taskorchestrator.dev/reconcile": "paused"})

    await world.make_pass()

    assert world.condition("Paused")[0] == "True"
    assert world.condition("Migrated") == ("True", "Migrated")
    assert world.condition("Ready")[0] == "True"


async def test_copies_of_others_secrets_go_with_the_resource() -> None:
    world = await a_world_on_others()

    assert world.child("Secret", "postgres")["metadata"]["ownerReferences"]
    assert "ownerReferences" not in world.child("Secret", "jwt")["metadata"]


@pytest.mark.parametrize(
    ("host", "seen"),
    [
        ("db", "db.team.svc"),
        ("db.example.com", "db.example.com"),
        ("198.51.100.4", "198.51.100.4"),
        ("2001:db8::5", "2001:db8::5"),
    ],
)
def test_the_autoscaler_comes_from_another_namespace(host: str, seen: str) -> None:
    theirs = Binding(host=host, port=6432, user="app", place="tasks", is_tls=True, authority=PEM)
    context = a_context(SPEC, credentials=replace(CREDENTIALS, stores={"postgres": theirs}))

    settings = to_postgres_settings(context)

    assert (settings.host, settings.port, settings.ssl_mode) == (seen, 6432, "verify-full")
    assert settings.authority == PEM


def test_a_postgres_of_others_that_cannot_be_read_is_no_platform() -> None:
    context = a_context(SPEC)
    scaling = ScalingView(active=Fact("LoadUnavailable", "no route to db", is_true=False))
    situation = Situation(
        resource=a_resource(SPEC),
        context=context,
        observed=Observed(children={}, pods=(), claims=()),
        waits={},
        scaling=scaling,
        now=datetime(2026, 1, 1, tzinfo=UTC),
    )

    facts = state_facts(situation)

    assert facts["PostgresReady"] == Fact("Unreachable", "no route to db", is_true=False)
    assert "postgres" in facts["Available"].message
    assert "redis" not in facts["Available"].message
