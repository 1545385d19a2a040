"""The cluster as this tool needs it: a kubeconfig, kubectl, helm and images.

Before: ``hack.cluster`` and ``hack.images`` do the work; they run without a
virtual environment, so they are called as programs.
After: ``installing`` puts the platform on it.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hack.tooling.errors import CommandError, ToolError
from hack.tooling.running import probe, run

KUBECTL_SECONDS = 60.0
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Cluster:
    """A reachable cluster and the programs that talk to it."""

    kubeconfig: Path
    kubectl_path: Path
    helm_path: Path

    @property
    def environment(self) -> dict[str, str]:
        """What a program needs to use this cluster."""
        folders = {str(self.kubectl_path.parent), str(self.helm_path.parent)}
        return {
            "KUBECONFIG": str(self.kubeconfig),
            "PATH": os.pathsep.join([*sorted(folders), os.environ["PATH"]]),
        }

    def kubectl(self, *arguments: str, input_text: str | None = None) -> str:
        """Run kubectl and return its output.

        Raises:
            CommandError: it failed.
        """
        return run(
            [self.kubectl_path, *arguments],
            timeout_seconds=KUBECTL_SECONDS,
            env=self.environment,
            input_text=input_text,
        ).output

    def get(self, *arguments: str) -> dict[str, Any] | None:
        """Return an object as kubectl shows it, or None when it does not exist."""
        answer = probe(
            [self.kubectl_path, "get", "--output=json", *arguments],
            timeout_seconds=KUBECTL_SECONDS,
            env=self.environment,
        )
        if answer.is_success:
            found: dict[str, Any] = json.loads(answer.output)
            return found
        if "NotFound" in answer.errors or "doesn't have a resource type" in answer.errors:
            return None
        raise CommandError(
            ["kubectl", "get", *arguments], status=answer.status, output=answer.errors
        )

    def helm(self, *arguments: str) -> str:
        """Run helm and return its output.

        Raises:
            CommandError: it failed.
        """
        return run([self.helm_path, *arguments], timeout_seconds=300.0, env=self.environment).output


def start_cluster() -> Cluster:
    """Get a cluster going, whichever way this machine offers, with its progress shown."""
    _show("hack.cluster", "up")
    return find_cluster()


def find_cluster() -> Cluster:
    """Return the cluster that is there.

    Raises:
        ToolError: there is none yet.
    """
    kubeconfig = Path(_ask("hack.cluster", "kubeconfig"))
    if not kubeconfig.exists():
        raise ToolError(f"there is no cluster: {kubeconfig} is missing", advice="run `make up`")
    return Cluster(
        kubeconfig,
        Path(_ask("hack.cluster", "tool", "kubectl")),
        Path(_ask("hack.cluster", "tool", "helm")),
    )


def stop_cluster() -> None:
    """End the cluster, if we started it."""
    _show("hack.cluster", "down")


def provide_images() -> Mapping[str, str]:
    """Build what changed, bring it to the cluster; return the references by name."""
    _show("hack.images", "load")
    references: dict[str, str] = json.loads(_ask("hack.images", "list", "--json"))
    return references


def _show(module: str, *arguments: str) -> None:
    command = [sys.executable, "-m", module, *arguments]
    if subprocess.run(command, cwd=ROOT, check=False).returncode != 0:
        # The tool has said why; repeating it would only push its advice off the screen.
        raise SystemExit(1)


def _ask(module: str, *arguments: str) -> str:
    return run(
        [sys.executable, "-m", module, *arguments], timeout_seconds=1800.0, cwd=ROOT
    ).output.strip()
