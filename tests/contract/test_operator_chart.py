"""What the chart installs, and which rights it asks for: rendered by Helm itself."""

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from hack.chart_readme import read_values
from orchestrator_core.settings import read_settings
from orchestrator_operator.crd import build_crd
from orchestrator_operator.kinds import PRUNED_CHILDREN, WATCHED_CHILDREN, Kind
from orchestrator_operator.names import NAME_LABEL, OPERATOR_APPLICATION
from orchestrator_operator.settings import OperatorSettings
from platform_under_test import kubectl

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts/orchestrator-operator"
RULES = Path(__file__).parent / "golden/operator_rules.yaml"
HELM_SECONDS = 30
CLUSTER_SCOPED = {"ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition"}


@dataclass(frozen=True, slots=True)
class Effect:
    """What a value does: the first object of a kind gets something at a path."""

    setting: str
    kind: str
    path: str
    expected: object


def on_the_pod(setting: str, path: str, expected: object) -> Effect:
    return Effect(f"--set-json={setting}", "Deployment", f"spec.template.{path}", expected)


TOLERATIONS = [{"key": "dedicated", "operator": "Exists"}]
AFFINITY: dict[str, Any] = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}}
RESOURCES = {"limits": {"memory": "1Gi"}, "requests": {"cpu": "1", "memory": "96Mi"}}
MINE = "--set=orchestrator.create=true,orchestrator.name=mine"
TWO = "--set=orchestrator.create=true,orchestrator.spec.worker.concurrency=2"
CRD = "CustomResourceDefinition"
EFFECTS = {
    "image": on_the_pod('image="a/b:1"', "spec.containers.0.image", "a/b:1"),
    "imagePullPolicy": on_the_pod(
        'imagePullPolicy="Always"', "spec.containers.0.imagePullPolicy", "Always"
    ),
    "imagePullSecrets": on_the_pod(
        'imagePullSecrets=[{"name":"login"}]', "spec.imagePullSecrets", [{"name": "login"}]
    ),
    "defaultImages": on_the_pod(
        'defaultImages={"redis":"a/b:8"}', "spec.containers.0.env.1.value", '{"redis":"a/b:8"}'
    ),
    "watchNamespaces": on_the_pod('watchNamespaces=["a"]', "spec.containers.0.env.0.value", "a"),
    "crds.install": Effect("--set=crds.install=false", CRD, "kind", None),
    "crds.keep": Effect("--set=crds.keep=false", CRD, "metadata.annotations", None),
    "logLevel": on_the_pod('logLevel="DEBUG"', "spec.containers.0.env.2.value", "DEBUG"),
    "resources": on_the_pod(
        f"resources={json.dumps(RESOURCES)}", "spec.containers.0.resources", RESOURCES
    ),
    "nodeSelector": on_the_pod('nodeSelector={"disk":"ssd"}', "spec.nodeSelector", {"disk": "ssd"}),
    "tolerations": on_the_pod(
        f"tolerations={json.dumps(TOLERATIONS)}", "spec.tolerations", TOLERATIONS
    ),
    "affinity": on_the_pod(f"affinity={json.dumps(AFFINITY)}", "spec.affinity", AFFINITY),
    "podAnnotations": on_the_pod('podAnnotations={"a":"b"}', "metadata.annotations", {"a": "b"}),
    "priorityClassName": on_the_pod('priorityClassName="high"', "spec.priorityClassName", "high"),
    "monitoring.podMonitor.mode": Effect(
        "--set=monitoring.podMonitor.mode=Enabled", "PodMonitor", "metadata.namespace", "system"
    ),
    "monitoring.podMonitor.labels": Effect(
        '--set-json=monitoring.podMonitor={"mode":"Enabled","labels":{"release":"prom"}}',
        "PodMonitor",
        "metadata.labels.release",
        "prom",
    ),
    "monitoring.rules.mode": Effect(
        "--set=monitoring.rules.mode=Enabled", "PrometheusRule", "metadata.namespace", "system"
    ),
    "monitoring.rules.labels": Effect(
        '--set-json=monitoring.rules={"mode":"Enabled","labels":{"release":"prom"}}',
        "PrometheusRule",
        "metadata.labels.release",
        "prom",
    ),
    "monitoring.rules.runbookUrl": Effect(
        "--set=monitoring.rules.mode=Enabled,monitoring.rules.runbookUrl=https://wiki.example/x",
        "PrometheusRule",
        "spec.groups.0.rules.0.annotations.runbook_url",
        "https://wiki.example/x#orchestratortaskswait",
    ),
    "monitoring.dashboards.mode": Effect(
        "--set=monitoring.dashboards.mode=Enabled",
        "ConfigMap",
        "metadata.labels.grafana_dashboard",
        "1",
    ),
    "monitoring.dashboards.labels": Effect(
        '--set-json=monitoring.dashboards={"mode":"Enabled","labels":{"show":"yes"}}',
        "ConfigMap",
        "metadata.labels.show",
        "yes",
    ),
    "monitoring.dashboards.annotations": Effect(
        '--set-json=monitoring.dashboards={"mode":"Enabled","annotations":{"folder":"Tasks"}}',
        "ConfigMap",
        "metadata.annotations.folder",
        "Tasks",
    ),
    "orchestrator.create": Effect(
        "--set=orchestrator.create=true", "Orchestrator", "metadata.name", "orchestrator"
    ),
    "orchestrator.name": Effect(MINE, "Orchestrator", "metadata.name", "mine"),
    "orchestrator.spec": Effect(TWO, "Orchestrator", "spec", {"worker": {"concurrency": 2}}),
}


def helm(*arguments: str) -> str:
    done = subprocess.run(
        ["helm", *arguments], capture_output=True, text=True, timeout=HELM_SECONDS, check=False
    )
    if done.returncode != 0:
        raise AssertionError(done.stderr)
    return done.stdout


def render(*arguments: str, release: str = "rel") -> list[dict[str, Any]]:
    text = helm("template", release, str(CHART), "--namespace=system", *arguments)
    return [document for document in yaml.safe_load_all(text) if document]


def of_kind(documents: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [document for document in documents if document["kind"] == kind]


def the_operator(documents: list[dict[str, Any]]) -> dict[str, Any]:
    [deployment] = of_kind(documents, "Deployment")
    template: dict[str, Any] = deployment["spec"]["template"]
    return template


def the_check(documents: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the pod of ``helm test``."""
    [pod] = of_kind(documents, "Pod")
    return pod


def find(documents: list[dict[str, Any]], kind: str, path: str) -> object:
    """Return what the first object of a kind has at a path; None when it has nothing there."""
    found: Any = next(iter(of_kind(documents, kind)), None)
    for step in path.split("."):
        if found is None:
            return None
        found = found[int(step)] if isinstance(found, list) else found.get(step)
    return found


def environment(documents: list[dict[str, Any]]) -> dict[str, str]:
    [container] = the_operator(documents)["spec"]["containers"]
    return {item["name"]: item["value"] for item in container["env"] if "value" in item}


def test_helm_finds_nothing_to_complain_about() -> None:
    assert "0 chart(s) failed" in helm("lint", "--strict", str(CHART))


def test_the_rights_are_exactly_these() -> None:
    [role] = of_kind(render(), "ClusterRole")

    assert role["rules"] == yaml.safe_load(RULES.read_text(encoding="utf-8"))


def test_no_right_is_a_wildcard_and_secrets_can_not_be_listed() -> None:
    rules = yaml.safe_load(RULES.read_text(encoding="utf-8"))

    assert all("*" not in [*rule["resources"], *rule["verbs"]] for rule in rules)
    [secrets] = [rule for rule in rules if "secrets" in rule["resources"]]
    assert secrets["verbs"] == ["get", "create", "patch"]
    assert not [rule for rule in rules if any("/exec" in name for name in rule["resources"])]


@pytest.mark.parametrize("kind", WATCHED_CHILDREN, ids=lambda kind: kind.plural)
def test_what_is_watched_may_be_watched(kind: Kind) -> None:
    assert {"list", "watch"} <= verbs_for(kind)


def verbs_for(kind: Kind) -> set[str]:
    rules = yaml.safe_load(RULES.read_text(encoding="utf-8"))
    group = kind.api_version.partition("/")[0] if "/" in kind.api_version else ""
    return {
        verb
        for rule in rules
        if group in rule["apiGroups"] and kind.plural in rule["resources"]
        for verb in rule["verbs"]
    }


@pytest.mark.parametrize("kind", PRUNED_CHILDREN, ids=lambda kind: kind.plural)
def test_what_is_made_may_be_looked_at_made_changed_and_deleted(kind: Kind) -> None:
    assert {"get", "list", "create", "patch", "delete"} <= verbs_for(kind)


@pytest.mark.parametrize("value", EFFECTS)
def test_a_value_has_its_effect(value: str) -> None:
    effect = EFFECTS[value]

    usual = find(render(), effect.kind, effect.path)
    changed = find(render(effect.setting), effect.kind, effect.path)

    assert changed == effect.expected
    assert usual != changed


def test_no_value_is_without_effect() -> None:
    values = read_values((CHART / "values.yaml").read_text(encoding="utf-8"))

    assert {value.key for value in values} == set(EFFECTS)


def test_with_a_list_of_namespaces_there_is_no_right_outside_them() -> None:
    documents = render("--set", "watchNamespaces={a,b}")

    assert not of_kind(documents, "ClusterRole")
    assert not of_kind(documents, "ClusterRoleBinding")
    assert all(
        role["rules"] == yaml.safe_load(RULES.read_text(encoding="utf-8"))
        for role in of_kind(documents, "Role")
    )
    assert [role["metadata"]["namespace"] for role in of_kind(documents, "Role")] == ["a", "b"]
    assert [role["metadata"]["namespace"] for role in of_kind(documents, "RoleBinding")] == [
        "a",
        "b",
    ]
    assert environment(documents)["ORCHESTRATOR_OPERATOR_NAMESPACES"] == "a,b"


def test_with_namespaces_and_without_the_crd_nothing_is_the_whole_cluster_s() -> None:
    documents = render("--set=watchNamespaces={a},crds.install=false")

    assert not CLUSTER_SCOPED & {document["kind"] for document in documents}
    assert {document["metadata"]["namespace"] for document in documents} == {"system", "a"}


def test_the_settings_are_ones_that_the_operator_can_read() -> None:
    images = {"api": "mirror.example/api:{version}", "redis": "mirror.example/redis:8"}
    labels = "--set=monitoring.podMonitor.labels.release=prom"
    documents = render("--set-json", f"defaultImages={json.dumps(images)}", labels)

    settings = read_settings(OperatorSettings, environment(documents))

    assert settings.images.api == "mirror.example/api:{version}"
    assert settings.images.redis == "mirror.example/redis:8"
    assert settings.namespaces == ()
    assert settings.pod_monitor_labels == {"release": "prom"}


@pytest.mark.parametrize("pod", [the_operator, the_check], ids=["operator", "check"])
def test_a_pod_keeps_to_the_restricted_level(
    pod: Callable[[list[dict[str, Any]]], dict[str, Any]], space: str
) -> None:
    spec = pod(render())["spec"]
    # A pod of a Deployment is admitted when it is made, of an account only when that is there.
    manifest = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "admitted"},
        "spec": {**spec, "serviceAccountName": "default"},
    }

    kubectl("-n", space, "create", "--dry-run=server", "-f", "-", input_text=json.dumps(manifest))

    assert [container["securityContext"] for container in spec["containers"]] == [
        {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
    ]


def test_there_is_one_operator_at_a_time() -> None:
    [deployment] = of_kind(render(), "Deployment")

    assert deployment["spec"]["replicas"] == 1
    assert deployment["spec"]["strategy"] == {"type": "Recreate"}


def test_the_stores_policies_will_let_this_pod_in() -> None:
    labels = the_operator(render())["metadata"]["labels"]

    assert labels[NAME_LABEL] == OPERATOR_APPLICATION


def test_the_check_is_not_taken_for_the_operator() -> None:
    documents = render()

    assert the_check(documents)["metadata"]["labels"][NAME_LABEL] != OPERATOR_APPLICATION
    [service] = of_kind(documents, "Service")
    assert (
        service["spec"]["selector"].items() <= the_operator(documents)["metadata"]["labels"].items()
    )


def test_the_check_goes_where_the_operator_goes_and_as_what_it_goes() -> None:
    settings = [effect.setting for effect in EFFECTS.values() if effect.kind == "Deployment"]
    documents = render(*settings)
    operator, check = the_operator(documents)["spec"], the_check(documents)["spec"]
    [operating], [checking] = operator["containers"], check["containers"]

    for same in ("serviceAccountName", "securityContext", "imagePullSecrets"):
        assert check[same] == operator[same]
    for same in ("nodeSelector", "affinity", "tolerations"):
        assert check[same] == operator[same]
    for same in ("image", "imagePullPolicy", "resources", "securityContext"):
        assert checking[same] == operating[same]


def test_the_check_asks_through_its_service_and_for_every_namespace() -> None:
    # A release may be called what a Service may not.
    documents = render("--set=watchNamespaces={a,b}", release="0.rel")
    [service] = of_kind(documents, "Service")

    [container] = the_check(documents)["spec"]["containers"]

    assert service["metadata"]["name"] == "health-of-0-rel-orchestrator-operator"
    assert container["args"][1:] == ["health-of-0-rel-orchestrator-operator:8080", "a", "b"]
    # By its host's own name a pod only ever reaches itself.
    assert the_check(documents)["metadata"]["name"] != service["metadata"]["name"]


def test_what_the_check_needs_comes_and_goes_with_it_and_only_failure_speaks() -> None:
    documents = render()
    [service], check = of_kind(documents, "Service"), the_check(documents)
    hook = {
        "helm.sh/hook": "test",
        "helm.sh/hook-delete-policy": "before-hook-creation,hook-succeeded",
    }

    assert service["metadata"]["annotations"] == {**hook, "helm.sh/hook-weight": "-1"}
    assert check["metadata"]["annotations"] == {
        **hook,
        "helm.sh/hook-output-log-policy": "hook-failed",
    }
    assert check["spec"]["activeDeadlineSeconds"] <= 120


def test_the_crd_is_the_project_s_and_is_kept() -> None:
    [crd] = of_kind(render(), "CustomResourceDefinition")

    assert crd["spec"] == build_crd()["spec"]
    assert crd["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}


def test_the_crd_can_be_left_out_or_let_go() -> None:
    assert not of_kind(render("--set=crds.install=false"), "CustomResourceDefinition")
    [crd] = of_kind(render("--set=crds.keep=false"), "CustomResourceDefinition")
    assert "annotations" not in crd["metadata"]


def test_an_orchestrator_can_come_with_it_and_never_goes_with_it() -> None:
    spec = {"worker": {"concurrency": 2}}
    arguments = (
        "--set=orchestrator.create=true",
        f"--set-json=orchestrator.spec={json.dumps(spec)}",
    )

    [fresh] = of_kind(render(*arguments), "Orchestrator")
    known = "--api-versions=taskorchestrator.dev/v1alpha1/Orchestrator"
    [later] = of_kind(render(*arguments, known), "Orchestrator")

    assert fresh["spec"] == later["spec"] == spec
    assert fresh["metadata"]["annotations"]["helm.sh/hook"] == "post-install"
    assert later["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    assert fresh["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


KNOWS_PROMETHEUS = "--api-versions=monitoring.coreos.com/v1"
OF_PROMETHEUS = ("PodMonitor", "PrometheusRule", "ConfigMap")


def test_what_is_for_prometheus_comes_where_the_cluster_knows_it() -> None:
    modes = ",".join(
        f"monitoring.{part}.mode=Disabled" for part in ("podMonitor", "rules", "dashboards")
    )

    assert [len(of_kind(render(), kind)) for kind in OF_PROMETHEUS] == [0, 0, 0]
    assert [len(of_kind(render(KNOWS_PROMETHEUS), kind)) for kind in OF_PROMETHEUS] == [1, 1, 5]
    refused = render(KNOWS_PROMETHEUS, f"--set={modes}")
    assert [len(of_kind(refused, kind)) for kind in OF_PROMETHEUS] == [0, 0, 0]


def test_the_operator_is_found_and_its_labels_are_left_alone() -> None:
    documents = render(KNOWS_PROMETHEUS)
    [monitor] = of_kind(documents, "PodMonitor")
    pod = the_operator(documents)

    wanted = monitor["spec"]["selector"]["matchLabels"]
    assert wanted.items() <= pod["metadata"]["labels"].items()
    [endpoint] = monitor["spec"]["podMetricsEndpoints"]
    [container] = pod["spec"]["containers"]
    assert endpoint["port"] in {port["name"] for port in container["ports"]}
    # An autoscaler's namespace would be called ``exported_namespace`` otherwise.
    assert endpoint["honorLabels"] is True
    assert set(monitor["spec"]["podTargetLabels"]) <= pod["metadata"]["labels"].keys()


def test_the_dashboards_and_the_rules_come_as_they_were_written() -> None:
    documents = render(KNOWS_PROMETHEUS)

    shown = {
        name: text
        for each in of_kind(documents, "ConfigMap")
        for name, text in each["data"].items()
    }
    [rules] = of_kind(documents, "PrometheusRule")

    assert {name: json.loads(text) for name, text in shown.items()} == {
        path.name: json.loads(path.read_text(encoding="utf-8"))
        for path in (CHART / "files/dashboards").iterdir()
    }
    assert rules["spec"] == yaml.safe_load((CHART / "files/rules.yaml").read_text(encoding="utf-8"))
    assert len({each["metadata"]["name"] for each in of_kind(documents, "ConfigMap")}) == 5


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("imge=typo", "additional properties 'imge' not allowed"),
        ("crds.instal=true", "at '/crds': additional properties 'instal' not allowed"),
        ("defaultImages.mongodb=x", "'/defaultImages': additional properties 'mongodb' not"),
        ("watchNamespaces=not-a-list", "at '/watchNamespaces': got string, want array"),
        ("logLevel=LOUD", "at '/logLevel': value must be one of 'DEBUG', 'INFO'"),
        ("monitoring.rules.mode=On", "at '/monitoring/rules/mode': value must be one of 'Auto'"),
        ("orchestrator.name=Not_A_Name", "at '/orchestrator/name': 'Not_A_Name' does not match"),
    ],
)
def test_a_wrong_value_is_refused_with_a_sentence(value: str, sentence: str) -> None:
    with pytest.raises(AssertionError, match="values don't meet the specifications") as refusal:
        render(f"--set={value}")

    assert sentence in str(refusal.value)
