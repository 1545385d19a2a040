"""What our own images hold: what their locks name, and nothing that only another part needs.

Each image runs once as a pod that describes itself, under the restrictions of the real pods.

Before: ``make cluster`` has built the images and brought them to the cluster.
After: a dependency that slipped into the wrong image fails here by name.
"""

import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from packaging.requirements import Requirement

from platform_under_test import kubectl, namespace, wait_until

if TYPE_CHECKING:
    from tests.contract.conftest import References

ROOT = Path(__file__).parents[2]
START_SECONDS = 60.0
PYTHON = {"python_version": "3.13", "python_full_version": "3.13.0"}
OWN = {
    "api": {"orchestrator-core", "orchestrator-api"},
    "worker": {"orchestrator-core", "orchestrator-worker"},
    "operator": {"orchestrator-core", "orchestrator-operator"},
}
FOREIGN = {
    "api": {"kopf", "kubernetes", "pillow", "pebble"},
    "worker": {"kopf", "kubernetes", "fastapi", "gunicorn", "uvicorn"},
    "operator": {"pillow", "fastapi", "gunicorn", "uvicorn", "redis"},
}
DESCRIBE = """
import importlib.metadata, importlib.util, json, os, pathlib, shutil, subprocess, sys
site = pathlib.Path(importlib.util.find_spec("orchestrator_core").origin).parents[1]
def is_compiled(path):
    return pathlib.Path(importlib.util.cache_from_source(str(path))).exists()
migrate = shutil.which("migrate")
print(json.dumps({
    "python": list(sys.version_info[:2]),
    "uid": os.getuid(),
    "distributions": [d.metadata["Name"].lower().replace("_", "-").replace(".", "-")
                      for d in importlib.metadata.distributions()],
    "entry_points": [e.name for e in importlib.metadata.entry_points(
        group="orchestrator.handlers")],
    "uncompiled": [str(p) for p in site.rglob("*.py") if not is_compiled(p)],
    "tools": [t for t in ("gcc", "cc", "git", "curl") if shutil.which(t)],
    "has_pip": importlib.util.find_spec("pip") is not None,
    "leftovers": [p for p in ("/src", "/wheels", "/staging", "/requirements", "/opt/build")
                  if os.path.exists(p)],
    "migrations": {p.name: p.read_text() for p in pathlib.Path("/migrations").glob("*")},
    "migrate": migrate and subprocess.run(
        [migrate, "-version"], capture_output=True, text=True, timeout=20).stderr.strip(),
}))
"""


@pytest.fixture(scope="module")
def described(references: "References") -> Iterator[dict[str, Any]]:
    """What each image says of itself, by the image's name."""
    assert os.environ.get("KUBECONFIG"), "KUBECONFIG must name a cluster: run `make contract`"
    own = ("api", "worker", "operator", "demo-worker")
    with namespace(f"contents-{secrets.token_hex(3)}") as space:
        for name in own:
            pod = json.dumps(a_pod(name, references[name]))
            kubectl("-n", space, "apply", "-f", "-", input_text=pod)
        yield {name: json.loads(output_of(space, name)) for name in own}


def a_pod(name: str, image: str) -> dict[str, Any]:
    container = {
        "name": "python",
        "image": image,
        "command": ["python", "-c", DESCRIBE],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    # No runAsUser: that the image itself is not root's is what admits it.
    security = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "securityContext": security,
            "containers": [container],
        },
    }


def output_of(space: str, pod: str) -> str:
    def phase() -> str:
        return kubectl("-n", space, "get", "pod", pod, "-o=jsonpath={.status.phase}")

    ended = wait_until(
        lambda: phase() if phase() in ("Succeeded", "Failed") else None,
        seconds=START_SECONDS,
        what=f"the pod {pod} to end",
    )
    output = kubectl("-n", space, "logs", pod)
    assert ended == "Succeeded", output
    return output


def locked(name: str) -> set[str]:
    """Names in an image's lock that its Python installs."""
    lines = (ROOT / f"requirements/{name}.txt").read_text().replace("\\\n", " ").splitlines()
    entries = [line.partition("--hash")[0].strip() for line in lines]
    wanted = [Requirement(entry) for entry in entries if entry and not entry.startswith("#")]
    return {
        one.name.lower().replace("_", "-").replace(".", "-")
        for one in wanted
        if one.marker is None or one.marker.evaluate(dict(PYTHON))
    }


@pytest.mark.parametrize("name", ["api", "worker", "operator"])
def test_an_image_holds_what_its_lock_names_and_our_own_packages(
    name: str, described: dict[str, Any]
) -> None:
    found = described[name]["distributions"]

    assert sorted(found) == sorted(locked(name) | OWN[name])


@pytest.mark.parametrize("name", ["api", "worker", "operator"])
def test_an_image_holds_nothing_that_only_another_part_needs(
    name: str, described: dict[str, Any]
) -> None:
    assert not FOREIGN[name] & set(described[name]["distributions"])


@pytest.mark.parametrize("name", ["api", "worker", "operator", "demo-worker"])
def test_an_image_runs_as_nobody_in_particular_with_compiled_code_and_no_installer(
    name: str, described: dict[str, Any]
) -> None:
    image = described[name]

    assert image["python"] == [3, 13]
    assert image["uid"] == 10001
    assert image["uncompiled"] == []
    assert (image["has_pip"], image["tools"], image["leftovers"]) == (False, [], [])


def test_the_apis_image_carries_the_migrations_and_the_tool_that_runs_them(
    described: dict[str, Any],
) -> None:
    files = {path.name: path.read_text() for path in (ROOT / "migrations").glob("*.sql")}

    assert described["api"]["migrate"].endswith("4.20.1")
    assert described["api"]["migrations"] == files


def test_the_demo_worker_adds_its_task_types_to_the_workers_own(described: dict[str, Any]) -> None:
    assert described["worker"]["entry_points"] == ["builtin"]
    assert sorted(described["demo-worker"]["entry_points"]) == ["builtin", "demo"]
    added = set(described["demo-worker"]["distributions"]) - set(
        described["worker"]["distributions"]
    )
    assert added == {"orchestrator-demo-tasks"}
