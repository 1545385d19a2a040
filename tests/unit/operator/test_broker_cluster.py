"""RabbitMQ on three nodes, and what a RabbitMQ alone has nothing of."""

from typing import Any

from operator_testing.contexts import a_context
from operator_testing.world import NAME, NAMESPACE, World
from orchestrator_operator import names
from orchestrator_operator.kinds import Manifest
from orchestrator_operator.manifests.network import build_network_policies
from orchestrator_operator.manifests.rabbitmq import build_rabbitmq
from orchestrator_operator.manifests.rabbitmq_cluster import DRAIN_SECONDS, QUORUM_SECONDS
from orchestrator_operator.spec import ManagedRabbitMQ

THREE: dict[str, Any] = {"rabbitmq": {"managed": {"replicas": 3}}}
ERLANG = {4369, 25672, 35672}


def ports_of_the_broker(manifests: list[Manifest], direction: str) -> set[int]:
    [policy] = [one for one in manifests if one["metadata"]["name"] == "demo-rabbitmq"]
    rules = policy["spec"].get(direction, ())
    return {int(port["port"]) for rule in rules for port in rule["ports"]}


def template_of(managed: ManagedRabbitMQ) -> dict[str, Any]:
    [stateful_set] = [
        one for one in build_rabbitmq(a_context(THREE), managed) if one["kind"] == "StatefulSet"
    ]
    template: dict[str, Any] = stateful_set["spec"]["template"]
    return template


async def test_nodes_know_each_other_by_a_secret_that_is_made_once_and_only_for_them() -> None:
    world = World({})
    await world.settle()
    key = ("Secret", NAMESPACE, f"{NAME}-{names.COOKIE}")
    assert key not in world.cluster.objects

    world.edit(**THREE)
    await world.settle()
    cookie = world.child("Secret", names.COOKIE)["data"]["cookie"]

    # A node that comes back with another one than the rest would be a stranger to them.
    secret = world.child("Secret", "rabbitmq")
    world.cluster.put({**secret, "data": {**secret["data"], "password": "bmV3"}})
    world.restart_the_operator()
    await world.settle()
    assert world.child("Secret", names.COOKIE)["data"]["cookie"] == cookie


def test_only_brokers_of_a_cluster_may_talk_erlang_to_each_other() -> None:
    alone = build_network_policies(a_context())
    several = build_network_policies(a_context(THREE))

    assert ports_of_the_broker(alone, "ingress") == {5672, 15692}
    assert ports_of_the_broker(alone, "egress") == set()
    assert ports_of_the_broker(several, "ingress") == {5672, 15692, *ERLANG}
    assert ports_of_the_broker(several, "egress") == {53, *ERLANG}


def test_a_broker_that_must_go_has_time_to_leave() -> None:
    alone, several = (template_of(ManagedRabbitMQ(replicas=count))["spec"] for count in (1, 3))

    longer = several["terminationGracePeriodSeconds"] - alone["terminationGracePeriodSeconds"]
    assert longer >= QUORUM_SECONDS + DRAIN_SECONDS
    assert "lifecycle" not in alone["containers"][0]
