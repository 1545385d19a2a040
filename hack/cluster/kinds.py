"""A cluster in a Docker container, by kind.

Before: ``choosing``, where Docker runs and kind's node image can be had.
After: the container `orchestrator-control-plane`; its kubeconfig beside the local node's.
"""

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path

from hack.cluster import builds
from hack.cluster.layouts import KIND_NODE_PORTS, Layout
from hack.cluster.providers import Extent, Status
from hack.tooling.errors import CommandError, ToolError
from hack.tooling.running import Result, probe
from hack.tooling.steps import Progress

CLUSTER = "orchestrator"
CONTAINER = f"{CLUSTER}-control-plane"

NODE_IMAGE = (
    "kindest/node:v1.37.0@sha256:a1ed56cfb0e7b93589bdf97c8cd566405a265939e3620fc4f5de89adff580ae5"
)
"""The image that kind v0.33.0 was released with; another may not fit it."""

_PULL_SECONDS = 600.0
_CREATE_SECONDS = 600.0
_LOAD_SECONDS = 600.0
_ANSWER_SECONDS = 15.0


def is_docker_running() -> bool:
    """Ask the daemon, which may be absent though the client is there."""
    return _docker("info").is_success


def can_have_image(progress: Progress) -> bool:
    """Find or fetch kind's node image; False where no registry gives it."""
    if _docker("image", "inspect", NODE_IMAGE).is_success:
        return True
    with progress.step("fetching kind's node image", usual_seconds=60) as step:
        with contextlib.suppress(CommandError):
            step.run(["docker", "pull", NODE_IMAGE], timeout_seconds=_PULL_SECONDS)
            return True
        step.skip("cannot be had")
    return False


class KindCluster:
    """A cluster of one kind node."""

    name = "kind"

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    @property
    def kubeconfig(self) -> Path:
        """Written by kind."""
        return self._layout.kubeconfig

    def check(self) -> None:
        """Insist on a Docker daemon.

        Raises:
            ToolError: there is none.
        """
        if not is_docker_running():
            raise ToolError(
                "the Docker daemon does not answer",
                advice="start Docker, or use `--provider local`",
            )

    def up(self, progress: Progress) -> None:
        """Create the container, or start it again after a reboot."""
        kind = self._kind(progress)
        if not self._exists():
            self._create(kind, progress)
        with progress.step("starting kind's node", usual_seconds=15) as step:
            step.run(["docker", "start", CONTAINER])
            command = [kind, "export", "kubeconfig", f"--name={CLUSTER}"]
            step.run([*command, f"--kubeconfig={self.kubeconfig}"])

    def down(self, progress: Progress, extent: Extent) -> None:
        """Stop the container; with the data, delete it."""
        if not self._exists():
            return
        with progress.step("ending kind's node", usual_seconds=10) as step:
            if extent is Extent.PROCESSES:
                step.run(["docker", "stop", CONTAINER], timeout_seconds=_ANSWER_SECONDS * 4)
                return
            command = [self._kind(progress), "delete", "cluster", f"--name={CLUSTER}"]
            step.run([*command, f"--kubeconfig={self.kubeconfig}"], timeout_seconds=_CREATE_SECONDS)
            self.kubeconfig.unlink(missing_ok=True)

    def load(self, archives: Sequence[Path], progress: Progress) -> None:
        """Hand archives to kind."""
        kind = self._kind(progress)
        for archive in archives:
            with progress.step(f"loading {archive.name}") as step:
                command = [kind, "load", "image-archive", archive, f"--name={CLUSTER}"]
                step.run([str(word) for word in command], timeout_seconds=_LOAD_SECONDS)

    def observe_status(self) -> Status:
        """Ask Docker for the container and the container for its API server."""
        state = _docker("container", "inspect", "--format={{.State.Status}}", CONTAINER)
        container = state.output.strip() or "not there"
        ready = _docker(
            "exec",
            CONTAINER,
            "kubectl",
            "--kubeconfig=/etc/kubernetes/admin.conf",
            "get",
            "--raw=/readyz",
        )
        api = "answers" if ready.is_success else "does not answer"
        lines = (f"{'container':<12} {container}", f"{'api':<12} {api}")
        return Status(ready.is_success, lines)

    def list_logs(self) -> dict[str, Path]:
        """None on this machine; ``kind export logs --name orchestrator`` collects them."""
        return {}

    def _kind(self, progress: Progress) -> str:
        return str(builds.build_program(builds.KIND, self._layout, progress))

    def _exists(self) -> bool:
        return _docker("container", "inspect", CONTAINER).is_success

    def _create(self, kind: str, progress: Progress) -> None:
        command = [kind, "create", "cluster", f"--name={CLUSTER}", f"--image={NODE_IMAGE}"]
        command += [f"--kubeconfig={self.kubeconfig}", "--wait=180s", "--config=-"]
        with progress.step("creating kind's node", usual_seconds=60) as step:
            step.run(
                command, timeout_seconds=_CREATE_SECONDS, input_text=json.dumps(build_config())
            )


def build_config() -> dict[str, object]:
    """Describe the cluster: some NodePorts answer on 127.0.0.1, as on the local node."""
    mappings = [
        {"containerPort": port, "hostPort": port, "listenAddress": "127.0.0.1"}
        for port in KIND_NODE_PORTS
    ]
    return {
        "kind": "Cluster",
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        "nodes": [{"role": "control-plane", "extraPortMappings": mappings}],
    }


def _docker(*arguments: str) -> Result:
    try:
        return probe(["docker", *arguments], timeout_seconds=_ANSWER_SECONDS)
    except CommandError:
        return Result(124)
