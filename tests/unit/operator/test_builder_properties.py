"""What holds for the manifests of every valid spec."""

import json
from collections.abc import Iterator
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from operator_testing.contexts import ALL_OPEN, CREDENTIALS, a_context
from orchestrator_operator import names
from orchestrator_operator.desiring import desired
from orchestrator_operator.kinds import Manifest
from orchestrator_operator.spec import OrchestratorSpec

SECRETS = (
    CREDENTIALS.postgres.password,
    CREDENTIALS.redis.password,
    CREDENTIALS.rabbitmq.password,
    CREDENTIALS.jwt_secret,
    CREDENTIALS.edge_key,
)


def quantities(unit: str) -> st.SearchStrategy[str]:
    return st.integers(1, 64).map(lambda number: f"{number}{unit}")


RESOURCES = st.fixed_dictionaries(
    {},
    optional={
        "requests": st.fixed_dictionaries({}, optional={"cpu": quantities("m")}),
        "limits": st.fixed_dictionaries(
            {}, optional={"cpu": quantities(""), "memory": quantities("Gi")}
        ),
    },
)
OWN_NUMBERS = st.fixed_dictionaries(
    {"capacity": st.integers(1, 10**6), "refillPerMinute": st.integers(1, 6 * 10**7)}
)
RATE_LIMITS = st.sampled_from(["Strict", "Generous"]).map(lambda name: {"preset": name}) | (
    OWN_NUMBERS
)
SPECS = st.builds(
    OrchestratorSpec.model_validate,
    st.fixed_dictionaries(
        {},
        optional={
            "version": st.sampled_from(["0.1.0", "2.0.0-rc.1"]),
            "images": st.fixed_dictionaries({}, optional={"api": st.just("mirror.example/api:1")}),
            "api": st.fixed_dictionaries(
                {},
                optional={
                    "replicas": st.integers(1, 50),
                    "resources": RESOURCES,
                    "rateLimit": RATE_LIMITS,
                    "service": st.fixed_dictionaries(
                        {"type": st.sampled_from(["ClusterIP", "NodePort", "LoadBalancer"])}
                    ),
                },
            ),
            "edge": st.fixed_dictionaries({}, optional={"replicas": st.integers(1, 20)}),
            "worker": st.fixed_dictionaries(
                {},
                optional={
                    "concurrency": st.integers(1, 64),
                    "taskTimeout": st.integers(1, 86400).map(lambda seconds: f"{seconds}s"),
                    "resources": RESOURCES,
                },
            ),
            "postgres": st.fixed_dictionaries(
                {"managed": st.fixed_dictionaries({}, optional={"resources": RESOURCES})}
            ),
            "networkPolicy": st.sampled_from(["Enforced", "Disabled"]),
            "deletionPolicy": st.sampled_from(["Retain", "Delete"]),
        },
    ),
)


def manifests_of(spec: OrchestratorSpec) -> list[Manifest]:
    return [step.manifest for step in desired(a_context(spec), ALL_OPEN).steps]


def pod_specs(manifests: list[Manifest]) -> Iterator[dict[str, Any]]:
    for manifest in manifests:
        template = manifest.get("spec", {}).get("template")
        if template is not None:
            yield template["spec"]


def containers(manifests: list[Manifest]) -> Iterator[dict[str, Any]]:
    for pod in pod_specs(manifests):
        yield from (*pod["containers"], *pod.get("initContainers", ()))


@given(SPECS)
def test_the_same_spec_gives_the_same_manifests(spec: OrchestratorSpec) -> None:
    assert json.dumps(manifests_of(spec)) == json.dumps(manifests_of(spec))


@given(SPECS)
def test_no_two_objects_have_the_same_name(spec: OrchestratorSpec) -> None:
    keys = [(item["kind"], item["metadata"]["name"]) for item in manifests_of(spec)]

    assert len(keys) == len(set(keys))


@given(SPECS)
def test_every_object_carries_its_labels_and_its_owner(spec: OrchestratorSpec) -> None:
    for manifest in manifests_of(spec):
        metadata = manifest["metadata"]
        assert names.ownership_labels("demo").items() <= metadata["labels"].items()
        is_kept = manifest["kind"] == "Secret" and spec.deletion_policy == "Retain"
        owners = [owner["uid"] for owner in metadata.get("ownerReferences", ())]
        assert owners == ([] if is_kept else ["00000000-0000-4000-8000-000000000001"])


@given(SPECS)
def test_every_pod_keeps_to_the_restricted_level(spec: OrchestratorSpec) -> None:
    manifests = manifests_of(spec)

    for pod in pod_specs(manifests):
        context = pod["securityContext"]
        assert context["runAsNonRoot"] is True
        assert context["runAsUser"] > 0
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False
        allowed = {"emptyDir", "configMap", "projected", "secret"}
        assert all(allowed & volume.keys() for volume in pod["volumes"])
    for container in containers(manifests):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


@given(SPECS)
def test_every_mount_has_its_volume(spec: OrchestratorSpec) -> None:
    for manifest in manifests_of(spec):
        for pod in pod_specs([manifest]):
            claims = manifest["spec"].get("volumeClaimTemplates", ())
            volumes = {volume["name"] for volume in pod["volumes"]}
            volumes |= {claim["metadata"]["name"] for claim in claims}
            used = {
                mount["name"]
                for container in (*pod["containers"], *pod.get("initContainers", ()))
                for mount in container["volumeMounts"]
            }
            assert used == volumes


@given(SPECS)
def test_no_secret_stands_anywhere_but_in_a_secret(spec: OrchestratorSpec) -> None:
    for manifest in manifests_of(spec):
        if manifest["kind"] != "Secret":
            text = json.dumps(manifest)
            assert not [secret for secret in SECRETS if secret in text]


@given(SPECS)
def test_a_workers_grace_covers_its_tasks(spec: OrchestratorSpec) -> None:
    [pod] = [
        manifest["spec"]["template"]["spec"]
        for manifest in manifests_of(spec)
        if manifest["metadata"]["name"] == "demo-worker" and manifest["kind"] == "Deployment"
    ]
    environment = {item["name"]: item.get("value") for item in pod["containers"][0]["env"]}
    timeout = int(environment["ORCHESTRATOR_WORKER_TASK_TIMEOUT_SECONDS"])
    drain = int(environment["ORCHESTRATOR_WORKER_DRAIN_SECONDS"])

    assert 0 < drain < pod["terminationGracePeriodSeconds"] <= 3600
    assert pod["terminationGracePeriodSeconds"] > timeout or timeout > 3500


@given(SPECS)
def test_the_worker_deployment_says_nothing_of_replicas(spec: OrchestratorSpec) -> None:
    [worker] = [
        manifest
        for manifest in manifests_of(spec)
        if manifest["metadata"]["name"] == "demo-worker" and manifest["kind"] == "Deployment"
    ]

    assert "replicas" not in worker["spec"]
