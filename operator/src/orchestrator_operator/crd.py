"""The CustomResourceDefinition, generated from the models of spec and status.

``python -m orchestrator_operator.crd`` writes ``crds/orchestrators.yaml`` and
the chart's copy of it; ``--check`` only says whether both are up to date.

Before: ``spec``, ``status_model`` and ``schema``.
After: the API server validates, fills in defaults and shows columns; Helm installs it.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from orchestrator_operator.names import GROUP, LONGEST_RESOURCE_NAME
from orchestrator_operator.rules import Rule
from orchestrator_operator.schema import build_schema
from orchestrator_operator.spec import OrchestratorSpec
from orchestrator_operator.status_model import OrchestratorStatus

CRD_PATH = Path("crds/orchestrators.yaml")
CHART_PATH = Path("charts/orchestrator-operator/templates/crd.yaml")

NAME_RULES = (
    Rule(
        cel=f"self.metadata.name.size() <= {LONGEST_RESOURCE_NAME}",
        message=(
            f"metadata.name must have at most {LONGEST_RESOURCE_NAME} characters:"
            " it begins the names of all that is created"
        ),
    ),
    Rule(
        cel="self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
        message=(
            "metadata.name must begin with a letter and hold only lower-case letters,"
            " digits and dashes: Services are named after it"
        ),
    ),
)

READY_PATH = '.status.conditions[?(@.type=="Ready")]'
COLUMNS = (
    ("Ready", "string", f"{READY_PATH}.status", 0),
    ("Version", "string", ".status.version.current", 0),
    ("API", "integer", '.status.components[?(@.name=="api")].ready', 0),
    ("Workers", "integer", ".status.worker.replicas", 0),
    ("Desired", "integer", ".status.worker.desired", 0),
    ("Queued", "integer", ".status.worker.queued", 0),
    ("Age", "date", ".metadata.creationTimestamp", 0),
    ("Reason", "string", f"{READY_PATH}.reason", 1),
    ("Endpoint", "string", ".status.endpoints.edge", 1),
)


def build_crd() -> dict[str, Any]:
    """Return the CustomResourceDefinition."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"orchestrators.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": "Orchestrator",
                "listKind": "OrchestratorList",
                "plural": "orchestrators",
                "singular": "orchestrator",
                "shortNames": ["orch"],
                "categories": ["all"],
            },
            "versions": [_build_version()],
        },
    }


def _build_version() -> dict[str, Any]:
    return {
        "name": "v1alpha1",
        "served": True,
        "storage": True,
        "additionalPrinterColumns": [
            {"name": name, "type": kind, "jsonPath": path, "priority": priority}
            for name, kind, path, priority in COLUMNS
        ],
        "subresources": {
            "status": {},
            "scale": {
                "specReplicasPath": ".spec.worker.replicas",
                "statusReplicasPath": ".status.worker.replicas",
                "labelSelectorPath": ".status.worker.selector",
            },
        },
        "schema": {
            "openAPIV3Schema": {
                "description": "A complete task service: API, workers, stores and their scaling.",
                "type": "object",
                "required": ["spec"],
                "properties": {
                    "apiVersion": {"type": "string"},
                    "kind": {"type": "string"},
                    "metadata": {"type": "object"},
                    "spec": build_schema(OrchestratorSpec),
                    "status": build_schema(OrchestratorStatus),
                },
                "x-kubernetes-validations": [rule.to_schema() for rule in NAME_RULES],
            }
        },
    }


HEADER = "# Generated from the operator's models by `make generate`. Do not edit.\n"


class _PlainDumper(yaml.SafeDumper):
    """Writes a value out each time: anchors save bytes and cost readers."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - PyYAML's signature
        return True


def _to_yaml(manifest: dict[str, Any]) -> str:
    return yaml.dump(manifest, Dumper=_PlainDumper, sort_keys=False, width=100)


def render_crd() -> str:
    """Return the text of ``crds/orchestrators.yaml``."""
    return HEADER + _to_yaml(build_crd())


def render_chart_template() -> str:
    """Return the CRD as a template of the chart: upgraded with it, and kept when it goes."""
    lines = _to_yaml(build_crd()).splitlines()
    at = lines.index("metadata:") + 1
    metadata = [
        "  {{- if .Values.crds.keep }}",
        "  annotations:",
        "    helm.sh/resource-policy: keep",
        "  {{- end }}",
        "  labels:",
        '    {{- include "orchestrator-operator.labels" . | nindent 4 }}',
    ]
    body = [*lines[:at], *metadata, *lines[at:]]
    return HEADER + "\n".join(["{{- if .Values.crds.install }}", *body, "{{- end }}", ""])


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or check the generated files; 1 when ``--check`` finds one out of date."""
    parser = argparse.ArgumentParser(description="Generate the CustomResourceDefinition.")
    parser.add_argument("--check", action="store_true", help="change nothing; say what is stale")
    parser.add_argument("--root", type=Path, default=Path(), help="the project's folder")
    options = parser.parse_args(arguments)
    wanted = {CRD_PATH: render_crd(), CHART_PATH: render_chart_template()}
    stale = [path for path, text in wanted.items() if _read(options.root / path) != text]
    if options.check:
        for path in stale:
            sys.stderr.write(f"{path} is not what the models say: run `make generate`\n")
        return 1 if stale else 0
    for path in stale:
        target = options.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(wanted[path], encoding="utf-8")
        sys.stdout.write(f"wrote {path}\n")
    return 0


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


if __name__ == "__main__":
    sys.exit(main())
