"""Programs that users of the cluster need: the machine's own where recent, else built here.

Before: ``python3 hack/cluster tool NAME``, make, and ``existing``.
After: the path of a program.
"""

import json
import re
from pathlib import Path

from hack.cluster import builds
from hack.cluster.layouts import Layout
from hack.tooling import packages
from hack.tooling.errors import CommandError
from hack.tooling.running import probe
from hack.tooling.steps import Progress

KUBECTL_MINIMUM = (1, 30)
"""`--for=create` of `kubectl wait` came later, but server-side apply and `debug` are settled."""

HELM_MINIMUM = (3, 14)
HELM_BELOW = (4, 0)
"""Helm 4 changed flags and output; the chart's make targets speak Helm 3."""

NAMES = ("helm", "kubectl", "migrate", "mailpit", "versitygw", "jaeger", "kind")


def find_tool(name: str, layout: Layout, progress: Progress) -> Path:
    """Return a program by name, building it where the machine has none that will do."""
    own = packages.find(name)
    if own and name == "kubectl" and _is_kubectl_recent(own):
        return Path(own)
    if own and name == "helm" and _is_helm_fitting(own):
        return Path(own)
    return builds.build_program(_BUILDS[name], layout, progress)


_BUILDS = {
    "helm": builds.HELM,
    "kubectl": builds.KUBECTL,
    "migrate": builds.MIGRATE,
    "mailpit": builds.MAILPIT,
    "versitygw": builds.VERSITYGW,
    "jaeger": builds.JAEGER,
    "kind": builds.KIND,
}


def parse_version(text: str) -> tuple[int, int]:
    """Read major and minor from the first thing that looks like a version; (0, 0) if none."""
    found = re.search(r"v?(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _is_kubectl_recent(program: str) -> bool:
    output = _ask(program, "version", "--client", "--output=json")
    try:
        version = json.loads(output)["clientVersion"]["gitVersion"]
    except (ValueError, KeyError, TypeError):
        return False
    return parse_version(version) >= KUBECTL_MINIMUM


def _is_helm_fitting(program: str) -> bool:
    version = parse_version(_ask(program, "version", "--short"))
    return HELM_MINIMUM <= version < HELM_BELOW


def _ask(program: str, *arguments: str) -> str:
    try:
        return probe([program, *arguments]).output
    except CommandError:
        return ""
