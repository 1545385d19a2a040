"""What is checked before anything is installed or built, so that it fails in a second.

Before: ``nodes``, first thing.
After: nothing, or one sentence that says what to do.
"""

import os
import platform
import shutil
from pathlib import Path

from hack.cluster import ports
from hack.cluster.layouts import PORTS
from hack.tooling.errors import ToolError

FIRST_BYTES = 8_000_000_000
"""Go's cache 2.9 GB, modules 2.5 GB, programs, packages and images about 2 GB."""

LATER_BYTES = 1_500_000_000
"""Everything is built: room for images and volumes; below 2 % the kubelet evicts pods."""

OTHER_WAYS = "or set KUBECONFIG to a cluster that you may use, or start Docker for kind"


def check_machine() -> None:
    """Insist on root on Linux.

    Raises:
        ToolError: this machine cannot be a node.
    """
    if platform.system() != "Linux":
        raise ToolError("a local node runs on Linux only", advice=OTHER_WAYS.removeprefix("or "))
    if os.geteuid() != 0:
        raise ToolError(
            "a local node needs root, for containers and for the network",
            advice=f"run the same command with sudo, {OTHER_WAYS}",
        )


def check_disk(folder: Path, *, needed_bytes: int) -> None:
    """Insist on room below a folder, which need not exist yet.

    Raises:
        ToolError: there is too little.
    """
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    free_bytes = shutil.disk_usage(existing).free
    if free_bytes < needed_bytes:
        free, needed = f"{free_bytes / 1e9:.1f} GB", f"{needed_bytes / 1e9:.1f} GB"
        raise ToolError(
            f"{folder} has {free} free, and {needed} are needed",
            advice="free some space (`go clean -cache` often helps), or set "
            "ORCHESTRATOR_CLUSTER_DIR to a folder on a larger disk",
        )


def check_ports(own_pids: set[int]) -> None:
    """Insist that the node's ports are free, or taken by the node itself.

    Raises:
        ToolError: somebody else listens; the message names it where it can be seen.
    """
    for port, purpose in PORTS.items():
        listener = ports.find_listener(port)
        if listener is None or listener.pid in own_pids:
            continue
        who = f"process {listener.pid} ({listener.command})" if listener.pid else "another process"
        end = f"end it (`kill {listener.pid}`)" if listener.pid else "end it"
        raise ToolError(
            f"port {port}, which {purpose} needs, is in use by {who}",
            advice=f"{end} if you do not need it, {OTHER_WAYS}",
        )
