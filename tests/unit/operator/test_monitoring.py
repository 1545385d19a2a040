"""PodMonitors: there as long as the cluster knows them and the resource wants them."""

from operator_testing.world import NAME, NAMESPACE, World
from orchestrator_operator.kinds import POD_MONITOR

MONITORS = [("PodMonitor", NAMESPACE, f"{NAME}-{each}") for each in ("api", "worker", "rabbitmq")]


async def test_a_cluster_may_learn_what_a_pod_monitor_is() -> None:
    world = World({})
    await world.settle()
    assert not [key for key in world.cluster.objects if key[0] == POD_MONITOR.kind]

    world.cluster.unknown_kinds.remove(POD_MONITOR)
    await world.settle()

    assert all(key in world.cluster.objects for key in MONITORS)
    assert world.condition("Ready") == ("True", "AllComponentsReady")


async def test_a_prometheus_finds_them_by_its_labels_which_take_the_place_of_none_of_ours() -> None:
    labels = {"release": "prom", "app.kubernetes.io/instance": "mine"}
    world = World({})
    world.pod_monitor_labels = labels
    world.cluster.unknown_kinds.clear()
    await world.settle()

    for key in MONITORS:
        given = world.cluster.objects[key]["metadata"]["labels"]
        assert given["release"] == "prom"
        assert given["app.kubernetes.io/instance"] == NAME


async def test_who_wants_none_has_none_and_of_somebody_elses_broker_there_is_none() -> None:
    world = World({})
    world.cluster.unknown_kinds.clear()
    await world.settle()

    world.edit(monitoring={"podMonitors": "Disabled"})
    await world.settle()

    assert not [key for key in world.cluster.objects if key[0] == POD_MONITOR.kind]


async def test_a_cluster_that_forgets_the_kind_is_no_trouble() -> None:
    world = World({})
    world.cluster.unknown_kinds.clear()
    await world.settle()

    world.cluster.unknown_kinds.add(POD_MONITOR)
    await world.settle()

    assert world.condition("Ready") == ("True", "AllComponentsReady")
