"""What surrounds the passes: settings, kopf's handlers, what is noticed without events."""

from typing import Any

import kopf
import pytest

from operator_testing.contexts import a_context
from operator_testing.world import NAME, NAMESPACE, World
from orchestrator_core.errors import SettingsError
from orchestrator_core.settings import read_settings
from orchestrator_operator.applying import ObjectRefusedError
from orchestrator_operator.handlers import build_registry, build_settings
from orchestrator_operator.immutables import TABLE, Immutable, way_around
from orchestrator_operator.kinds import WATCHED_CHILDREN
from orchestrator_operator.looping import ResourceKey
from orchestrator_operator.noticing import is_secret_new
from orchestrator_operator.scaled_pool import to_postgres_settings, to_target
from orchestrator_operator.settings import OperatorSettings
from orchestrator_operator.spec import OrchestratorSpec

KEY = ResourceKey(NAMESPACE, NAME)


def kopf_handlers(registry: kopf.OperatorRegistry, sort: str) -> list[Any]:
    """Kopf has no public way to ask what is registered."""
    return list(getattr(registry, f"_{sort}").get_all_handlers())


def test_settings_have_defaults() -> None:
    settings = read_settings(OperatorSettings, {})

    assert settings.namespaces == ()
    assert settings.images.postgres == "postgres:17"


def test_settings_are_read_from_the_environment() -> None:
    settings = read_settings(
        OperatorSettings,
        {
            "ORCHESTRATOR_OPERATOR_NAMESPACES": "a, b",
            "ORCHESTRATOR_OPERATOR_IMAGES": '{"api": "mirror.example/api:1"}',
        },
    )

    assert settings.namespaces == ("a", "b")
    assert settings.images.api == "mirror.example/api:1"
    assert settings.images.redis == "redis:8"


@pytest.mark.parametrize("images", ["not JSON", '{"mongodb": "mongo:8"}'])
def test_wrong_images_are_refused(images: str) -> None:
    with pytest.raises(SettingsError, match="ORCHESTRATOR_OPERATOR_IMAGES"):
        read_settings(OperatorSettings, {"ORCHESTRATOR_OPERATOR_IMAGES": images})


def test_kopf_is_given_nothing_for_which_it_would_write() -> None:
    registry = build_registry(lambda _: None, lambda: "")

    assert not kopf_handlers(registry, "changing")
    assert not kopf_handlers(registry, "spawning")
    assert not kopf_handlers(registry, "indexing")
    assert len(kopf_handlers(registry, "watching")) == len(WATCHED_CHILDREN) + 1


def test_kopf_watches_only_what_carries_our_label() -> None:
    settings = build_settings()

    assert settings.posting.enabled is False
    assert settings.peering.standalone is True
    assert len(settings.watching.label_selectors) == len(WATCHED_CHILDREN)


async def test_an_event_of_a_child_rings_its_resource() -> None:
    rung: list[ResourceKey] = []
    registry = build_registry(rung.append, lambda: "")

    for handler in kopf_handlers(registry, "watching"):
        await handler.fn(
            namespace=NAMESPACE, name=NAME, labels={"app.kubernetes.io/instance": NAME}
        )

    assert rung == [KEY] * (len(WATCHED_CHILDREN) + 1)


def test_the_probe_fails_with_the_complaint() -> None:
    registry = build_registry(lambda _: None, lambda: "a pass has run for 200 s")
    [probe] = [h for h in kopf_handlers(registry, "activities") if h.id == "alive"]

    with pytest.raises(kopf.PermanentError, match="200 s"):
        probe.fn()


async def test_a_lost_or_changed_secret_is_noticed() -> None:
    world = World()
    await world.settle()

    async def has_news() -> bool:
        turns = range(len(world.companion.secrets))
        seen = [
            await is_secret_new(KEY, world.companion, world.cluster, turn=turn) for turn in turns
        ]
        # One Secret is new, and one turn finds it.
        assert sum(seen) <= 1
        return any(seen)

    assert not await has_news()
    secret = world.child("Secret", "redis")
    world.cluster.put({**secret, "data": {"password": "bmV3"}})
    assert await has_news()

    await world.settle()
    assert not await has_news()
    world.cluster.remove(("Secret", NAMESPACE, f"{NAME}-jwt"))
    assert await has_news()


@pytest.mark.parametrize("row", TABLE, ids=[row.kind for row in TABLE])
def test_the_table_is_looked_up_by_what_the_api_server_says(row: Immutable) -> None:
    only = ObjectRefusedError("x", status=422, message="", causes=(f"spec: {row.sentence}",))
    mixed = ObjectRefusedError(
        "x", status=422, message="", causes=(f"spec: {row.sentence}", "spec.replicas: must be ≥ 0")
    )

    assert way_around(row.kind, only) == row
    assert way_around(row.kind, mixed) is None
    assert way_around("ConfigMap", only) is None


def test_the_spec_becomes_the_autoscalers_target() -> None:
    spec = OrchestratorSpec.model_validate(
        {"worker": {"concurrency": 2, "replicas": 3, "scaling": {"max": 7, "idleAfter": "1m"}}}
    )

    target = to_target(spec)

    assert (target.max_replicas, target.slots_per_pod, target.fixed_replicas) == (7, 2, 3)
    assert target.idle_after_seconds == 60
    assert target.connection_limit_replicas is not None


def test_the_autoscaler_reaches_postgres_from_another_namespace() -> None:
    settings = to_postgres_settings(a_context())

    assert settings.host == "demo-postgres.team.svc"
    assert settings.password.get_secret_value() == "secret-of-postgres"
