"""What the operator relies on when it talks to Kubernetes, as checks that anybody can run.

Each promise takes a cluster and a namespace that it may use freely. They run
against ``FakeCluster`` in the unit tests and against a real API server in the
end-to-end tests.

Before: a test gives a cluster.
After: nothing, or an ``AssertionError`` that says what was expected.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from orchestrator_operator.applying import (
    AlreadyExistsError,
    Cluster,
    ObjectRefusedError,
)
from orchestrator_operator.kinds import CONFIG_MAP, DEPLOYMENT, SERVICE, STATEFUL_SET, Manifest

Promise = Callable[[Cluster, str], Awaitable[None]]

OURS = "promise-operator"
OTHERS = "promise-other"


def expect(truth: object, message: str) -> None:
    """Raise unless it holds."""
    if not truth:
        raise AssertionError(message)


def a_config_map(namespace: str, name: str, data: dict[str, str], **metadata: Any) -> Manifest:
    """Return a ConfigMap."""
    return {
        "apiVersion": CONFIG_MAP.api_version,
        "kind": CONFIG_MAP.kind,
        "metadata": {"name": name, "namespace": namespace, **metadata},
        "data": data,
    }


def a_pod_template(name: str, *environment: str) -> dict[str, Any]:
    """Return a pod template whose pods never start: no node has the label."""
    container = {
        "name": "main",
        "image": "promise.invalid/none:1",
        "env": [{"name": variable, "value": "1"} for variable in environment],
    }
    return {
        "metadata": {"labels": {"promise": name}},
        "spec": {"nodeSelector": {"promise/never": "true"}, "containers": [container]},
    }


def a_deployment(namespace: str, name: str, *environment: str, **spec: Any) -> Manifest:
    """Return a Deployment."""
    return {
        "apiVersion": DEPLOYMENT.api_version,
        "kind": DEPLOYMENT.kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "selector": {"matchLabels": {"promise": name}},
            "template": a_pod_template(name, *environment),
            **spec,
        },
    }


async def an_absent_object_is_none(cluster: Cluster, namespace: str) -> None:
    """A read of what is not there is no error."""
    found = await cluster.get(CONFIG_MAP, namespace, "absent")
    expect(found is None, f"expected None, got {found}")


async def an_apply_creates_what_is_absent(cluster: Cluster, namespace: str) -> None:
    """One verb for both."""
    await cluster.apply(a_config_map(namespace, "made", {"a": "1"}), field_manager=OURS)
    found = await cluster.get(CONFIG_MAP, namespace, "made")
    expect(found is not None and found["data"] == {"a": "1"}, f"got {found}")


async def an_apply_that_changes_nothing_keeps_the_version(cluster: Cluster, namespace: str) -> None:
    """The second pass writes nothing."""
    manifest = a_deployment(namespace, "still", "A", replicas=0)
    first = await cluster.apply(manifest, field_manager=OURS)
    again = await cluster.apply(manifest, field_manager=OURS)
    versions = [item["metadata"]["generation"] for item in (first, again)]
    expect(versions[0] == versions[1], f"generations {versions}")


async def a_field_no_longer_stated_goes(cluster: Cluster, namespace: str) -> None:
    """What the operator stops stating does not linger."""
    await cluster.apply(a_config_map(namespace, "less", {"a": "1", "b": "2"}), field_manager=OURS)
    after = await cluster.apply(a_config_map(namespace, "less", {"a": "1"}), field_manager=OURS)
    expect(after["data"] == {"a": "1"}, f"got {after['data']}")


async def an_item_of_a_named_list_goes(cluster: Cluster, namespace: str) -> None:
    """An environment variable that is no longer stated goes, the others stay."""
    await cluster.apply(a_deployment(namespace, "env", "A", "B", replicas=0), field_manager=OURS)
    after = await cluster.apply(a_deployment(namespace, "env", "B", replicas=0), field_manager=OURS)
    variables = after["spec"]["template"]["spec"]["containers"][0]["env"]
    expect([item["name"] for item in variables] == ["B"], f"got {variables}")


async def a_field_of_another_manager_stays(cluster: Cluster, namespace: str) -> None:
    """Replicas belong to the autoscaler while the operator applies the rest."""
    await cluster.apply(a_deployment(namespace, "shared", replicas=2), field_manager=OURS)
    only_replicas = {
        "apiVersion": DEPLOYMENT.api_version,
        "kind": DEPLOYMENT.kind,
        "metadata": {"name": "shared", "namespace": namespace},
        "spec": {"replicas": 2},
    }
    await cluster.apply(only_replicas, field_manager=OTHERS)
    after = await cluster.apply(a_deployment(namespace, "shared"), field_manager=OURS)
    expect(after["spec"]["replicas"] == 2, f"got {after['spec']['replicas']}")
    only_replicas["spec"] = {"replicas": 3}
    await cluster.apply(only_replicas, field_manager=OTHERS)
    after = await cluster.apply(a_deployment(namespace, "shared", "A"), field_manager=OURS)
    expect(after["spec"]["replicas"] == 3, f"got {after['spec']['replicas']}")


async def a_forced_apply_takes_a_field_over(cluster: Cluster, namespace: str) -> None:
    """What somebody edited by hand is put back."""
    await cluster.apply(a_config_map(namespace, "edited", {"a": "1"}), field_manager=OURS)
    await cluster.apply(a_config_map(namespace, "edited", {"a": "2"}), field_manager=OTHERS)
    after = await cluster.apply(a_config_map(namespace, "edited", {"a": "1"}), field_manager=OURS)
    expect(after["data"] == {"a": "1"}, f"got {after['data']}")


async def a_created_field_survives_an_apply_of_others(cluster: Cluster, namespace: str) -> None:
    """A random value is made by POST; applying what is derived from it does not touch it."""
    await cluster.create(a_config_map(namespace, "posted", {"seed": "1"}), field_manager=OURS)
    await cluster.apply(a_config_map(namespace, "posted", {"derived": "1"}), field_manager=OURS)
    after = await cluster.apply(
        a_config_map(namespace, "posted", {"derived": "2"}), field_manager=OURS
    )
    expect(after["data"] == {"seed": "1", "derived": "2"}, f"got {after['data']}")


async def an_owner_no_longer_stated_goes(cluster: Cluster, namespace: str) -> None:
    """The deletion policy can be changed on a living resource."""
    owner = await cluster.apply(a_config_map(namespace, "owner", {}), field_manager=OURS)
    reference = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "name": "owner",
        "uid": owner["metadata"]["uid"],
        "controller": True,
    }
    await cluster.create(a_config_map(namespace, "owned", {"a": "1"}), field_manager=OURS)
    owned = await cluster.apply(
        a_config_map(namespace, "owned", {}, ownerReferences=[reference]), field_manager=OURS
    )
    expect(len(owned["metadata"]["ownerReferences"]) == 1, f"got {owned['metadata']}")
    free = await cluster.apply(a_config_map(namespace, "owned", {}), field_manager=OURS)
    expect(not free["metadata"].get("ownerReferences"), f"got {free['metadata']}")
    expect(free["data"] == {"a": "1"}, f"got {free['data']}")


async def a_second_create_is_told_apart(cluster: Cluster, namespace: str) -> None:
    """Two passes that race for a Secret end with one value."""
    await cluster.create(a_config_map(namespace, "once", {"a": "1"}), field_manager=OURS)
    try:
        await cluster.create(a_config_map(namespace, "once", {"a": "2"}), field_manager=OURS)
    except AlreadyExistsError:
        return
    raise AssertionError("the second create did not say that the name is taken")


async def a_list_finds_by_labels(cluster: Cluster, namespace: str) -> None:
    """Children are found by their labels, in one namespace."""
    labels = {"promise/part": "x"}
    await cluster.apply(a_config_map(namespace, "with", {}, labels=labels), field_manager=OURS)
    await cluster.apply(a_config_map(namespace, "without", {}), field_manager=OURS)
    found = await cluster.list(CONFIG_MAP, namespace, labels)
    expect([item["metadata"]["name"] for item in found] == ["with"], f"got {found}")
    expect(found[0]["kind"] == "ConfigMap", f"got {found[0]}")


async def a_delete_is_for_one_uid(cluster: Cluster, namespace: str) -> None:
    """An object that took another's name is not deleted in its place."""
    first = await cluster.apply(a_config_map(namespace, "twice", {}), field_manager=OURS)
    expect(await cluster.delete(first), "expected the delete to find it")
    await cluster.apply(a_config_map(namespace, "twice", {}), field_manager=OURS)
    expect(not await cluster.delete(first), "expected the delete to leave the new one alone")
    expect(await cluster.get(CONFIG_MAP, namespace, "twice") is not None, "it is gone")


async def a_merge_never_creates(cluster: Cluster, namespace: str) -> None:
    """A pod that is gone is not made anew by an annotation."""
    found = await cluster.merge(a_config_map(namespace, "nobody", {"a": "1"}), field_manager=OURS)
    expect(found is None, f"got {found}")


async def an_immutable_selector_is_refused(cluster: Cluster, namespace: str) -> None:
    """A refusal names its causes, so that the table of immutable fields can look them up."""
    await cluster.apply(a_deployment(namespace, "fixed", replicas=0), field_manager=OURS)
    other = a_deployment(namespace, "fixed", replicas=0)
    other["spec"]["selector"] = {"matchLabels": {"promise": "other"}}
    other["spec"]["template"]["metadata"]["labels"] = {"promise": "other"}
    try:
        await cluster.apply(other, field_manager=OURS)
    except ObjectRefusedError as error:
        expect(any("immutable" in cause for cause in error.causes), f"got {error.causes}")
        return
    raise AssertionError("the change of a selector was not refused")


async def a_claim_template_is_refused(cluster: Cluster, namespace: str) -> None:
    """A grown volume needs a new StatefulSet."""
    await cluster.apply(a_stateful_set(namespace, "1Gi"), field_manager=OURS)
    try:
        await cluster.apply(a_stateful_set(namespace, "2Gi"), field_manager=OURS)
    except ObjectRefusedError as error:
        sentence = "updates to statefulset spec for fields other than"
        expect(any(sentence in cause for cause in error.causes), f"got {error.causes}")
        return
    raise AssertionError("the change of a claim template was not refused")


async def an_unknown_field_is_refused(cluster: Cluster, namespace: str) -> None:
    """What users add to pods is judged by the API server, which says no and not that it is ill."""
    misspelt = a_deployment(namespace, "misspelt", replicas=0)
    misspelt["spec"]["template"]["spec"]["affinity"] = {"nodeAffinty": {}}
    try:
        await cluster.apply(misspelt, field_manager=OURS)
    except ObjectRefusedError as error:
        expect("nodeAffinty" in error.message, f"got {error.message}")
        return
    raise AssertionError("a field that no schema has was not refused")


def a_stateful_set(namespace: str, size: str) -> Manifest:
    """Return a StatefulSet without pods."""
    claim = {
        "metadata": {"name": "data"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": size}},
        },
    }
    return {
        "apiVersion": STATEFUL_SET.api_version,
        "kind": STATEFUL_SET.kind,
        "metadata": {"name": "claimed", "namespace": namespace},
        "spec": {
            "replicas": 0,
            "serviceName": "claimed",
            "selector": {"matchLabels": {"promise": "claimed"}},
            "template": a_pod_template("claimed"),
            "volumeClaimTemplates": [claim],
        },
    }


async def a_service_address_is_refused(cluster: Cluster, namespace: str) -> None:
    """A Service can't become headless."""
    await cluster.apply(a_service(namespace), field_manager=OURS)
    try:
        await cluster.apply(a_service(namespace, clusterIP="None"), field_manager=OURS)
    except ObjectRefusedError as error:
        expect(all("may not change once set" in c for c in error.causes), f"got {error.causes}")
        return
    raise AssertionError("the change of a Service's address was not refused")


def a_service(namespace: str, **spec: Any) -> Manifest:
    """Return a Service."""
    return {
        "apiVersion": SERVICE.api_version,
        "kind": SERVICE.kind,
        "metadata": {"name": "address", "namespace": namespace},
        "spec": {
            "selector": {"promise": "address"},
            "ports": [{"name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP"}],
            **spec,
        },
    }


PROMISES: tuple[Promise, ...] = (
    an_absent_object_is_none,
    an_apply_creates_what_is_absent,
    an_apply_that_changes_nothing_keeps_the_version,
    a_field_no_longer_stated_goes,
    an_item_of_a_named_list_goes,
    a_field_of_another_manager_stays,
    a_forced_apply_takes_a_field_over,
    a_created_field_survives_an_apply_of_others,
    an_owner_no_longer_stated_goes,
    a_second_create_is_told_apart,
    a_list_finds_by_labels,
    a_delete_is_for_one_uid,
    a_merge_never_creates,
    an_immutable_selector_is_refused,
    a_claim_template_is_refused,
    an_unknown_field_is_refused,
    a_service_address_is_refused,
)
