"""What the chart installs, and which rights it asks for: rendered by Helm itself."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator_core.settings import read_settings
from orchestrator_operator.crd import build_crd
from orchestrator_operator.kinds import WATCHED_CHILDREN, Kind
from orchestrator_operator.names import NAME_LABEL, OPERATOR_APPLICATION
from orchestrator_operator.settings import OperatorSettings

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts/orchestrator-operator"
RULES = Path(__file__).parent / "golden/operator_rules.yaml"
HELM_SECONDS = 30


def helm(*arguments: str) -> str:
    done = subprocess.run(
        ["helm", *arguments], capture_output=True, text=True, timeout=HELM_SECONDS, check=False
    )
    if done.returncode != 0:
        raise AssertionError(done.stderr)
    return done.stdout


def render(*arguments: str) -> list[dict[str, Any]]:
    text = helm("template", "rel", str(CHART), "--namespace=system", *arguments)
    return [document for document in yaml.safe_load_all(text) if document]


def of_kind(documents: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [document for document in documents if document["kind"] == kind]


def the_operator(documents: list[dict[str, Any]]) -> dict[str, Any]:
    [deployment] = of_kind(documents, "Deployment")
    template: dict[str, Any] = deployment["spec"]["template"]
    return template


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
    rules = yaml.safe_load(RULES.read_text(encoding="utf-8"))
    group = kind.api_version.partition("/")[0] if "/" in kind.api_version else ""

    verbs = {
        verb
        for rule in rules
        if group in rule["apiGroups"] and kind.plural in rule["resources"]
        for verb in rule["verbs"]
    }

    assert {"list", "watch"} <= verbs


def test_with_a_list_of_namespaces_there_is_no_right_outside_them() -> None:
    documents = render("--set", "watchNamespaces={a,b}")

    assert not of_kind(documents, "ClusterRole")
    assert not of_kind(documents, "ClusterRoleBinding")
    assert [role["metadata"]["namespace"] for role in of_kind(documents, "Role")] == ["a", "b"]
    assert [role["metadata"]["namespace"] for role in of_kind(documents, "RoleBinding")] == [
        "a",
        "b",
    ]
    assert environment(documents)["ORCHESTRATOR_OPERATOR_NAMESPACES"] == "a,b"


def test_the_settings_are_ones_that_the_operator_can_read() -> None:
    images = {"api": "mirror.example/api:{version}", "redis": "mirror.example/redis:8"}
    documents = render("--set-json", f"defaultImages={json.dumps(images)}")

    settings = read_settings(OperatorSettings, environment(documents))

    assert settings.images.api == "mirror.example/api:{version}"
    assert settings.images.redis == "mirror.example/redis:8"
    assert settings.namespaces == ()


def test_the_operator_keeps_to_the_restricted_level() -> None:
    pod = the_operator(render())["spec"]

    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert [container["securityContext"] for container in pod["containers"]] == [
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


@pytest.mark.parametrize(
    "value",
    [
        "--set=imge=typo",
        "--set=defaultImages.mongodb=x",
        "--set=watchNamespaces=not-a-list",
        "--set=logLevel=LOUD",
        "--set=orchestrator.name=Not_A_Name",
    ],
)
def test_a_wrong_value_is_refused(value: str) -> None:
    with pytest.raises(AssertionError, match="values don't meet the specifications"):
        render(value)
