"""What users of the custom resource and the operator promise each other: its schema."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator_operator.crd import CHART_PATH, CRD_PATH, build_crd, render_chart_template
from orchestrator_operator.spec import OrchestratorSpec

ROOT = Path(__file__).parents[2]
CRD = yaml.safe_load((ROOT / CRD_PATH).read_text(encoding="utf-8"))
[VERSION] = CRD["spec"]["versions"]
SCHEMA = VERSION["schema"]["openAPIV3Schema"]


def nodes(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}")
    if "items" in schema:
        yield from nodes(schema["items"], f"{path}[]")


FIELDS = dict(nodes(SCHEMA["properties"]["spec"], "spec")) | dict(
    nodes(SCHEMA["properties"]["status"], "status")
)


def test_the_file_is_what_the_models_say() -> None:
    assert build_crd() == CRD, "run `make generate`"


def test_the_chart_carries_the_same_text() -> None:
    text = (ROOT / CHART_PATH).read_text(encoding="utf-8")

    assert text == render_chart_template(), "run `make generate`"


@pytest.mark.parametrize("path", FIELDS)
def test_every_field_says_what_it_is(path: str) -> None:
    assert len(FIELDS[path]["description"]) > 5
    assert "\n" not in FIELDS[path]["description"]


AFFINITIES = {f"spec.{part}.template.spec.affinity" for part in ("api", "worker")}
"""As Kubernetes has them; the API server judges them in the pods."""


def test_no_field_is_a_float_and_none_is_open_ended() -> None:
    for path, field in FIELDS.items():
        assert field.get("type") != "number", path
        assert ("x-kubernetes-preserve-unknown-fields" in field) == (path in AFFINITIES), path
        if "additionalProperties" in field:
            assert field["maxProperties"] > 0, path
            assert field["additionalProperties"]["maxLength"] > 0, path
        if path.startswith("spec") and field.get("type") == "string":
            assert "maxLength" in field or "enum" in field, path
        if path.startswith("spec") and field.get("type") == "integer":
            assert {"minimum", "maximum"} <= field.keys(), path


def test_every_list_merges_and_is_bounded() -> None:
    for path, field in FIELDS.items():
        if field.get("type") == "array":
            # Tolerations have no name to merge by; whoever writes them writes all of them.
            kinds = {"atomic"} if path.endswith(".tolerations") else {"map", "set"}
            assert field["x-kubernetes-list-type"] in kinds, path
            assert field["maxItems"] > 0, path


def test_every_rule_speaks_in_a_sentence() -> None:
    rules = [
        rule
        for field in (*FIELDS.values(), SCHEMA)
        for rule in field.get("x-kubernetes-validations", ())
    ]

    assert len(rules) > 10
    assert all(len(rule["message"].split()) >= 4 for rule in rules)


def test_the_defaults_are_the_models_own() -> None:
    def filled(schema: dict[str, Any]) -> dict[str, Any]:
        return {
            name: child["default"]
            for name, child in schema["properties"].items()
            if "default" in child
        }

    spec = OrchestratorSpec.model_validate(filled(SCHEMA["properties"]["spec"]))

    assert spec == OrchestratorSpec()


def test_kubectl_shows_what_one_wants_to_know() -> None:
    columns = {column["name"]: column for column in VERSION["additionalPrinterColumns"]}

    shown = [name for name, column in columns.items() if column["priority"] == 0]
    assert shown == ["Ready", "Version", "API", "Workers", "Desired", "Queued", "Age"]
    assert {"Reason", "Endpoint"} <= columns.keys()


def test_it_can_be_scaled_and_has_a_status_of_its_own() -> None:
    assert VERSION["subresources"] == {
        "status": {},
        "scale": {
            "specReplicasPath": ".spec.worker.replicas",
            "statusReplicasPath": ".status.worker.replicas",
            "labelSelectorPath": ".status.worker.selector",
        },
    }
    assert CRD["spec"]["names"]["shortNames"] == ["orch"]
    assert CRD["spec"]["names"]["categories"] == ["all"]
