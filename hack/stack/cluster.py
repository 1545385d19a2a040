"""The cluster as this tool needs it: a kubeconfig, kubectl and helm.

Before: ``hack.cluster`` does the work; it runs without a virtual environment, so it is called as
a program.
After: ``installing`` puts the platform on it.
"""

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from hack.tooling.errors import CommandError, ToldError, ToolError
from hack.tooling.running import probe, run, run_attached

KUBECTL_SECONDS = 60.0
HELM_SECONDS = 300.0
_NOISE = re.compile(r"^E\d{4} .*\n", re.MULTILINE)
"""kubectl logs each try (klog's format) before the one sentence for people."""

ROOT = Path(__file__).resolve().parents[2]


class Provider(Enum):
    """Kinds of clusters, as ``hack.cluster provider`` prints them."""

    EXISTING = "existing"
    """Named by KUBECONFIG; somebody else runs it, and no image can be put into it from here."""
    KIND = "kind"
    LOCAL = "local"
    NONE = "none"


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
            ["kubectl", "get", *arguments],
            status=answer.status,
            output=_NOISE.sub("", answer.errors),
        )

    def helm(self, *arguments: str) -> str:
        """Run helm and return its output.

        Raises:
            CommandError: it failed.
        """
        return run(
            [self.helm_path, *arguments], timeout_seconds=HELM_SECONDS, env=self.environment
        ).output


def start_cluster() -> Cluster:
    """Get a cluster going, whichever way this machine offers, with its progress shown."""
    show_tool("hack.cluster", "up")
    return find_cluster()


def find_cluster() -> Cluster:
    """Return the cluster that is there.

    Raises:
        ToolError: there is none yet.
    """
    kubeconfig = Path(ask_tool("hack.cluster", "kubeconfig"))
    if not kubeconfig.exists():
        raise ToolError(f"there is no cluster: {kubeconfig} is missing", advice="run `make up`")
    return Cluster(
        kubeconfig,
        Path(ask_tool("hack.cluster", "tool", "kubectl")),
        Path(ask_tool("hack.cluster", "tool", "helm")),
    )


def ask_provider() -> Provider:
    """Say of which kind the cluster is."""
    return Provider(ask_tool("hack.cluster", "provider"))


def stop_cluster() -> None:
    """End the cluster, if we started it."""
    show_tool("hack.cluster", "down")


def show_tool(module: str, *arguments: str) -> None:
    """Run another tool before the person's eyes.

    Raises:
        ToldError: it failed.
    """
    _run_tool([module, *arguments], stdout=None)


def ask_tool(module: str, *arguments: str) -> str:
    """Return what another tool prints; its progress and its errors are shown.

    Raises:
        ToldError: it failed.
    """
    return _run_tool([module, *arguments], stdout=subprocess.PIPE).strip()


def _run_tool(words: list[str], *, stdout: int | None) -> str:
    # What was printed before must not come after the tool's own lines.
    sys.stdout.flush()
    result = run_attached([sys.executable, "-m", *words], cwd=ROOT, stdout=stdout)
    if not result.is_success:
        raise ToldError(result.status)
    return result.output
