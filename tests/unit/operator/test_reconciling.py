"""Passes over one resource, on a cluster in memory that keeps an API server's promises."""

from collections.abc import Mapping
from typing import Any, NoReturn

import pytest

from operator_testing.dying import Dying
from operator_testing.no_pool import NoPool
from operator_testing.world import NAME, NAMESPACE, World
from orchestrator_operator.applying import ClusterUnavailableError
from orchestrator_operator.conditions import Fact
from orchestrator_operator.kinds import Manifest
from orchestrator_operator.looping import Verdict
from orchestrator_operator.names import AUTOSCALER_FIELD_MANAGER, FIELD_MANAGER
from orchestrator_operator.status import ScalingView

WORKLOADS = (
    ("StatefulSet", "postgres"),
    ("StatefulSet", "redis"),
    ("StatefulSet", "rabbitmq"),
    ("Deployment", "api"),
    ("Deployment", "edge"),
    ("Deployment", "worker"),
)
ANOTHER_TEMPLATE = {"api": {"resources": {"requests": {"cpu": "123m"}}}}
"""The migration's Job must be made anew."""
ANOTHER_JOB = {"version": "0.2.0"}
"""It is one too many."""


class Pool(NoPool):
    """An autoscaler that only runs or does not."""

    def __init__(self) -> None:
        super().__init__()
        self.is_running = False

    def steer(self, *_: object, **__: object) -> None:
        """Run."""
        self.is_running = True

    def view(self) -> ScalingView:
        """Say that it scales, if it does."""
        active = Fact("ReadingsFresh", "read", is_true=True)
        return ScalingView(active=active) if self.is_running else ScalingView()

    async def close(self) -> None:
        """Stop."""
        self.is_running = False


async def a_settled_world(spec: Mapping[str, Any] | None = None) -> World:
    world = World(spec)
    await world.settle()
    return world


async def test_an_empty_spec_becomes_a_whole_platform() -> None:
    world = await a_settled_world()

    assert world.condition("Ready") == ("True", "AllComponentsReady")
    assert {
        (kind, name) for kind, _, name in world.cluster.objects if kind.endswith(("Set", "ment"))
    } == {(kind, f"{NAME}-{component}") for kind, component in WORKLOADS}


async def test_a_second_pass_writes_nothing() -> None:
    world = await a_settled_world()
    before, calls = world.cluster.versions(), len(world.cluster.writes)

    await world.make_pass()

    assert world.cluster.versions() == before
    assert world.cluster.writes[calls:] == []


async def test_a_restarted_operator_changes_nothing() -> None:
    world = await a_settled_world()
    before = world.cluster.versions()

    world.restart_the_operator()
    await world.make_pass()

    assert world.cluster.versions() == before


async def test_a_new_spec_is_not_ready_from_the_first_write_on() -> None:
    world = await a_settled_world()
    world.edit(api={"replicas": 3})
    world.cluster.writes.clear()

    await world.make_pass()

    assert world.cluster.writes[0] == f"apply Orchestrator {NAME}/status"
    assert world.condition("Ready") == ("False", "Progressing")
    assert world.resource["status"]["observedGeneration"] == 2


async def test_nothing_of_ours_starts_before_the_migration_is_through() -> None:
    world = World()
    await world.make_pass()
    world.get_everything_ready()

    await world.make_pass()

    jobs = [key for key in world.cluster.objects if key[0] == "Job"]
    assert len(jobs) == 1
    assert ("Deployment", NAMESPACE, f"{NAME}-api") not in world.cluster.objects
    assert world.condition("ApiReady") == ("False", "Waiting")
    assert "the migration to complete" in world.message("Progressing")


async def test_the_migration_waits_for_postgres() -> None:
    world = World()

    await world.make_pass()

    assert not [key for key in world.cluster.objects if key[0] == "Job"]
    assert world.message("Migrated") == "waits for Postgres to be ready"


async def test_old_pods_run_on_while_a_new_version_migrates() -> None:
    world = await a_settled_world()
    old = world.child("Deployment", "api")["spec"]["template"]

    world.edit(version="0.2.0")
    await world.make_pass()

    assert world.child("Deployment", "api")["spec"]["template"] == old
    assert world.condition("Migrated") == ("False", "Running")
    await world.settle()
    assert world.child("Deployment", "api")["spec"]["template"] != old
    assert world.resource["status"]["version"] == {"current": "0.2.0", "target": "0.2.0"}
    assert len([key for key in world.cluster.objects if key[0] == "Job"]) == 1


async def a_world_that_migrates() -> tuple[World, Manifest]:
    """A world, and its migration's pod, which changes the schema."""
    world = World()
    await world.make_pass()
    world.get_ready("StatefulSet", f"{NAME}-postgres")
    await world.make_pass()
    [job] = [each for key, each in world.cluster.objects.items() if key[0] == "Job"]
    owner = {
        "apiVersion": job["apiVersion"],
        "kind": "Job",
        "name": job["metadata"]["name"],
        "uid": job["metadata"]["uid"],
        "controller": True,
    }
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"{job['metadata']['name']}-x",
            "namespace": NAMESPACE,
            "labels": job["spec"]["template"]["metadata"]["labels"],
            "ownerReferences": [owner],
        },
    }
    world.cluster.put(pod)
    let_the_migration(world, pod, "running")
    return world, pod


def let_the_migration(world: World, pod: Manifest, state: str) -> None:
    container = {"name": "migrate", "state": {state: {}}}
    status = {"phase": "Pending", "initContainerStatuses": [container]}
    world.cluster.set_status("Pod", NAMESPACE, pod["metadata"]["name"], status)


def uids_of_jobs(world: World) -> list[str]:
    return [
        each["metadata"]["uid"] for key, each in world.cluster.objects.items() if key[0] == "Job"
    ]


@pytest.mark.parametrize("edit", [ANOTHER_TEMPLATE, ANOTHER_JOB], ids=["replaced", "pruned"])
async def test_a_job_is_left_alone_while_it_changes_the_schema(edit: dict[str, Any]) -> None:
    world, pod = await a_world_that_migrates()
    [old] = uids_of_jobs(world)

    world.edit(**edit)
    await world.make_pass()

    assert old in uids_of_jobs(world)
    assert world.condition("Migrated") == ("False", "Running")
    assert world.condition("Degraded")[0] != "True"

    let_the_migration(world, pod, "terminated")
    await world.make_pass()
    await world.make_pass()

    [new] = uids_of_jobs(world)
    assert new != old


@pytest.mark.parametrize("edit", [ANOTHER_TEMPLATE, ANOTHER_JOB], ids=["replaced", "pruned"])
async def test_a_job_whose_pod_never_started_goes_at_once(edit: dict[str, Any]) -> None:
    world, pod = await a_world_that_migrates()
    let_the_migration(world, pod, "waiting")
    [old] = uids_of_jobs(world)

    world.edit(**edit)
    await world.make_pass()

    assert old not in uids_of_jobs(world)


async def test_a_deleted_child_comes_back() -> None:
    world = await a_settled_world()
    expected = set(world.cluster.objects)

    for key in sorted(expected - {("Orchestrator", NAMESPACE, NAME)}):
        world.cluster.remove(key)
        await world.settle()
        assert set(world.cluster.objects) == expected, key
        assert world.condition("Ready")[0] == "True", key


async def test_the_api_comes_back_at_once_even_without_its_migration_job() -> None:
    world = await a_settled_world()
    [job] = [key for key in world.cluster.objects if key[0] == "Job"]
    world.cluster.remove(job)
    world.cluster.remove(("Deployment", NAMESPACE, f"{NAME}-api"))

    await world.make_pass()

    assert job in world.cluster.objects
    assert ("Deployment", NAMESPACE, f"{NAME}-api") in world.cluster.objects


async def test_a_new_volume_of_the_database_is_migrated_anew() -> None:
    world = World()
    await world.make_pass()
    world.cluster.put(a_claim("10Gi", world))
    await world.settle()
    [before] = [key for key in world.cluster.objects if key[0] == "Job"]

    world.cluster.remove(("PersistentVolumeClaim", NAMESPACE, f"data-{NAME}-postgres-0"))
    world.cluster.put(a_claim("10Gi", world))
    await world.make_pass()

    [after] = [key for key in world.cluster.objects if key[0] == "Job"]
    assert after != before
    assert world.condition("Migrated") == ("False", "Running")


async def test_an_edited_child_is_put_back() -> None:
    world = await a_settled_world()
    edge = world.child("ConfigMap", "edge")
    original = edge["data"]["nginx.conf"]

    world.cluster.put({**edge, "data": {"nginx.conf": "daemon off;"}})
    await world.make_pass()

    assert world.child("ConfigMap", "edge")["data"]["nginx.conf"] == original


async def test_the_replicas_of_the_workers_are_never_touched() -> None:
    world = await a_settled_world()
    deployment = world.child("Deployment", "worker")

    await world.cluster.apply(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": deployment["metadata"]["name"], "namespace": NAMESPACE},
            "spec": {"replicas": 7},
        },
        field_manager=AUTOSCALER_FIELD_MANAGER,
    )
    world.edit(worker={"concurrency": 2})
    await world.settle()

    assert world.child("Deployment", "worker")["spec"]["replicas"] == 7


async def test_workers_are_born_with_the_replicas_they_should_have() -> None:
    automatic = await a_settled_world({"worker": {"scaling": {"min": 2}}})
    fixed = await a_settled_world({"worker": {"replicas": 5, "scaling": {"mode": "Fixed"}}})

    assert automatic.child("Deployment", "worker")["spec"]["replicas"] == 2
    assert fixed.child("Deployment", "worker")["spec"]["replicas"] == 5
    owners = automatic.cluster.owners["Deployment", NAMESPACE, f"{NAME}-worker"]
    assert owners[AUTOSCALER_FIELD_MANAGER] == {("spec", "replicas")}
    assert ("spec", "replicas") not in owners[FIELD_MANAGER]


async def test_secrets_are_made_once() -> None:
    world = await a_settled_world()
    before = world.child("Secret", "postgres")["data"]["password"]

    world.restart_the_operator()
    world.edit(api={"replicas": 1})
    await world.settle()

    assert world.child("Secret", "postgres")["data"]["password"] == before


async def test_a_password_set_by_hand_takes_effect_everywhere() -> None:
    world = await a_settled_world()
    template = world.child("StatefulSet", "rabbitmq")["spec"]["template"]
    secret = world.child("Secret", "rabbitmq")
    uri = secret["data"]["uri"]

    data = {**secret["data"], "password": "bmV3"}
    world.cluster.put({**secret, "data": data})
    await world.settle()

    assert world.child("Secret", "rabbitmq")["data"]["password"] == "bmV3"
    assert world.child("Secret", "rabbitmq")["data"]["uri"] != uri
    assert world.child("StatefulSet", "rabbitmq")["spec"]["template"] != template


async def test_a_secret_without_its_value_is_reported_and_not_filled() -> None:
    world = await a_settled_world()
    secret = world.child("Secret", "jwt")

    world.cluster.put({**secret, "data": {}})
    await world.make_pass()

    assert world.condition("Degraded") == ("True", "SecretIncomplete")
    assert "'secret'" in world.message("Ready")
    assert world.child("Secret", "jwt")["data"] == {}


async def test_what_is_no_longer_wanted_is_pruned() -> None:
    world = await a_settled_world()
    assert ("PodDisruptionBudget", NAMESPACE, f"{NAME}-api") in world.cluster.objects

    world.edit(api={"replicas": 1}, networkPolicy="Disabled")
    await world.settle()

    kinds = {key[0] for key in world.cluster.objects}
    assert kinds.isdisjoint({"PodDisruptionBudget", "NetworkPolicy"})


async def test_only_what_this_very_resource_owns_is_pruned() -> None:
    world = await a_settled_world()
    stray = world.cluster.put(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": "stray",
                "namespace": NAMESPACE,
                "labels": world.child("ConfigMap", "edge")["metadata"]["labels"],
            },
        }
    )

    await world.settle()

    assert stray in world.cluster.objects.values()


async def test_an_object_of_somebody_else_is_left_alone() -> None:
    world = World()
    theirs = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": f"{NAME}-api", "namespace": NAMESPACE},
        "spec": {"selector": {"app": "theirs"}},
    }
    world.cluster.put(theirs)

    verdict = await world.make_pass()

    assert verdict is Verdict.RETRY
    assert world.child("Service", "api")["spec"]["selector"] == {"app": "theirs"}
    assert world.condition("Degraded") == ("True", "NameConflict")
    assert f"Service {NAME}-api" in world.message("Ready")
    assert ("StatefulSet", NAMESPACE, f"{NAME}-postgres") in world.cluster.objects


async def test_children_of_a_former_resource_are_waited_for() -> None:
    world = await a_settled_world()
    former = world.child("StatefulSet", "redis")
    former["metadata"]["ownerReferences"][0]["uid"] = "uid-of-the-former"
    fresh = World()
    fresh.cluster.put(former)
    version = fresh.child("StatefulSet", "redis")["metadata"]["generation"]

    assert await fresh.make_pass() is Verdict.SOON
    await fresh.settle()

    assert fresh.child("StatefulSet", "redis")["metadata"]["generation"] == version
    assert fresh.condition("Degraded") == ("True", "FormerResourceLeaving")
    fresh.cluster.remove(("StatefulSet", NAMESPACE, f"{NAME}-redis"))
    await fresh.settle()
    assert fresh.condition("Ready")[0] == "True"


async def test_a_paused_resource_is_only_looked_at() -> None:
    world = await a_settled_world()
    world.annotate({"taskorchestrator.dev/reconcile": "paused"})
    world.cluster.remove(("Deployment", NAMESPACE, f"{NAME}-api"))
    world.edit(version="0.2.0")
    world.cluster.writes.clear()

    await world.make_pass()

    assert set(world.cluster.writes) == {f"apply Orchestrator {NAME}/status"}
    assert world.condition("Paused") == ("True", "Asked")
    assert world.resource["status"]["observedGeneration"] == 1
    world.annotate({})
    await world.settle()
    assert world.condition("Paused")[0] == "False"
    assert world.condition("Ready")[0] == "True"


async def test_a_paused_resource_is_not_scaled_until_the_pause_ends() -> None:
    world = await a_settled_world()
    pool = world.companion.pool = Pool()
    running = []
    for annotations in ({}, {"taskorchestrator.dev/reconcile": "paused"}, {}):
        world.annotate(annotations)
        await world.make_pass()
        running.append((pool.is_running, world.condition("ScalingActive")))

    assert running == [
        (True, ("True", "ReadingsFresh")),
        (False, ("False", "Paused")),
        (True, ("True", "ReadingsFresh")),
    ]
    assert world.companion.told == pool.view()


async def test_a_spec_older_than_a_rule_is_refused_with_the_rules_sentence() -> None:
    world = World({"worker": {"scaling": {"min": 5, "max": 2}}})

    await world.make_pass()

    assert world.condition("Ready") == ("False", "InvalidSpec")
    assert "min must not be above max" in world.message("Ready")
    assert set(world.cluster.objects) == {("Orchestrator", NAMESPACE, NAME)}


async def test_retained_secrets_have_no_owner_and_are_found_again() -> None:
    world = await a_settled_world()
    before = world.child("Secret", "postgres")["data"]

    world.cluster.remove(("Orchestrator", NAMESPACE, NAME))
    left = {key[0] for key in world.cluster.objects}
    world.cluster.put(World().resource | {"metadata": {"name": NAME, "namespace": NAMESPACE}})
    world.restart_the_operator()
    await world.settle()

    assert left == {"Secret"}
    assert world.child("Secret", "postgres")["data"] == before
    assert world.condition("Ready")[0] == "True"


async def test_with_delete_nothing_is_left() -> None:
    world = await a_settled_world({"deletionPolicy": "Delete"})

    world.cluster.remove(("Orchestrator", NAMESPACE, NAME))

    assert world.cluster.objects == {}


@pytest.mark.parametrize(("first", "then"), [("Retain", "Delete"), ("Delete", "Retain")])
async def test_the_deletion_policy_of_a_living_resource_can_be_changed(
    first: str, then: str
) -> None:
    world = await a_settled_world({"deletionPolicy": first})

    world.edit(deletionPolicy=then)
    await world.settle()

    owned = bool(world.child("Secret", "jwt")["metadata"].get("ownerReferences"))
    policy = world.child("StatefulSet", "postgres")["spec"]["persistentVolumeClaimRetentionPolicy"]
    assert owned is (then == "Delete")
    assert policy == {"whenDeleted": then, "whenScaled": "Retain"}


async def test_a_grown_volume_grows_and_its_pod_is_not_touched() -> None:
    world = await a_settled_world()
    claim = a_claim("1Gi", world)
    world.cluster.put(claim)
    before = world.child("StatefulSet", "postgres")["metadata"]["uid"]

    world.edit(postgres={"managed": {"storage": {"size": "20Gi"}}})
    await world.settle()

    grown = world.cluster.objects["PersistentVolumeClaim", NAMESPACE, claim["metadata"]["name"]]
    assert grown["spec"]["resources"]["requests"]["storage"] == "20Gi"
    assert world.child("StatefulSet", "postgres")["metadata"]["uid"] != before
    template = world.child("StatefulSet", "postgres")["spec"]["volumeClaimTemplates"][0]
    assert template["spec"]["resources"]["requests"]["storage"] == "20Gi"
    assert world.condition("Ready")[0] == "True"


async def test_one_refused_object_keeps_no_other_from_being_mended() -> None:
    world = await a_settled_world()
    world.edit(api={"template": {"spec": {"affinity": {"nodeAffinty": {}}}}})
    world.cluster.remove(("Deployment", NAMESPACE, f"{NAME}-edge"))

    await world.settle()

    assert world.child("Deployment", "edge")
    assert world.condition("Ready")[0] == "False"
    assert "nodeAffinty" in world.message("Degraded")


async def test_each_volume_of_a_broker_cluster_grows() -> None:
    world = await a_settled_world({"rabbitmq": {"managed": {"replicas": 3}}})
    for ordinal in range(3):
        world.cluster.put(a_claim("1Gi", world, store="rabbitmq", ordinal=ordinal))

    world.edit(rabbitmq={"managed": {"replicas": 3, "storage": {"size": "20Gi"}}})
    await world.settle()

    sizes = [
        claim["spec"]["resources"]["requests"]["storage"]
        for key, claim in world.cluster.objects.items()
        if key[0] == "PersistentVolumeClaim"
    ]
    assert sizes == ["20Gi"] * 3


def a_claim(size: str, world: World, *, store: str = "postgres", ordinal: int = 0) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": f"data-{NAME}-{store}-{ordinal}",
            "namespace": NAMESPACE,
            "labels": world.child("StatefulSet", store)["metadata"]["labels"],
        },
        "spec": {"resources": {"requests": {"storage": size}}},
    }


async def test_a_failed_migration_is_visible_and_tried_again_after_a_pause() -> None:
    world = World()
    await world.make_pass()
    world.get_ready("StatefulSet", f"{NAME}-postgres")
    await world.make_pass()
    [job] = [key for key in world.cluster.objects if key[0] == "Job"]
    failed = {
        "type": "Failed",
        "status": "True",
        "message": "Job has reached the specified backoff limit",
        "lastTransitionTime": world.now.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    world.cluster.set_status(*job, {"conditions": [failed]})

    await world.make_pass()

    assert world.condition("Migrated") == ("False", "Failed")
    assert world.condition("Ready") == ("False", "MigrationFailed")
    assert "2026-01-01T00:05:00Z" in world.message("Ready")
    before = world.cluster.objects[job]["metadata"]["uid"]
    world.now = world.now.replace(minute=6)
    await world.make_pass()
    await world.make_pass()
    assert world.cluster.objects[job]["metadata"]["uid"] != before


async def test_old_workers_are_scaled_after_a_restart_while_a_new_version_migrates() -> None:
    world = await a_settled_world()
    world.edit(version="0.2.0")
    await world.make_pass()

    world.restart_the_operator()
    pool = world.companion.pool = Pool()
    await world.make_pass()

    assert world.condition("Migrated") == ("False", "Running")
    assert pool.is_running


async def test_nothing_is_scaled_before_the_first_migration() -> None:
    world = World()
    pool = world.companion.pool = Pool()

    await world.make_pass()

    assert not pool.is_running


async def test_a_deleted_resource_is_not_brought_back_to_life() -> None:
    world = await a_settled_world()
    world.resource["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    world.cluster.writes.clear()

    verdict = await world.make_pass()

    assert verdict is Verdict.GONE
    assert world.cluster.writes == []


def die() -> NoReturn:
    raise ClusterUnavailableError("died here")


async def test_a_death_after_any_write_leads_to_the_same_end() -> None:
    undisturbed = await a_settled_world()
    expected, writes = undisturbed.picture(), len(undisturbed.cluster.writes)
    assert writes > 30

    for position in range(writes):
        world = World()
        budget = position
        while True:
            calls = len(world.cluster.writes)
            try:
                await world.make_pass(Dying(world.cluster, budget, die))
            except ClusterUnavailableError:
                break
            budget -= len(world.cluster.writes) - calls
            world.get_everything_ready()
        world.restart_the_operator()
        await world.settle()

        assert world.picture() == expected, f"after {position} writes"
        assert world.condition("Ready")[0] == "True", f"after {position} writes"
