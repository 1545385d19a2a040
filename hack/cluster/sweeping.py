"""Clearing what containers leave behind when everything that minded them is gone.

After a crash, a killed session or a reboot there may be shims without containerd, processes
without shims, mounts, network namespaces, addresses given out to pods that are no more. All of
it is found by place, not by memory: below our cgroup, below our folders, by our socket's path
on a command line. Nothing else is touched.

Before: ``nodes``, at ``down`` and at an ``up`` that finds containerd not running.
After: the machine looks as if no container had ever run; images and volumes stay.
"""

import contextlib
import os
import shutil
import signal
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from hack.cluster import networks
from hack.cluster.cgroups import PodCgroup
from hack.cluster.layouts import Layout
from hack.tooling.errors import ToolError
from hack.tooling.running import probe
from hack.tooling.steps import Step

TERMINATION_SECONDS = 15.0
"""Postgres needs a moment for a clean shutdown; half of a pod's usual 30 s."""

_MOUNTS = Path("/proc/self/mountinfo")
_CONTAINER_RECORDS = ("sandboxes", "containers")
_POLL_SECONDS = 0.1
_KILL_SECONDS = 5.0
_MEASURES = ((signal.SIGTERM, TERMINATION_SECONDS), (signal.SIGKILL, _KILL_SECONDS))


def terminate_pods(layout: Layout, step: Step) -> None:
    """Ask every process of a pod to end, then insist."""
    cgroup = PodCgroup(layout.cgroup)
    for number, patience_seconds in _MEASURES:
        pids = cgroup.list_processes()
        if not pids:
            return
        step.write(f"{number.name} to {len(pids)} processes of pods")
        _signal_all(pids, number)
        _wait_until_empty(cgroup, patience_seconds)


def sweep(layout: Layout, step: Step) -> None:
    """Remove every trace of containers; the kubelet and containerd must not be running."""
    cgroup = PodCgroup(layout.cgroup)
    _signal_all(list_shims(layout), signal.SIGKILL)
    _signal_all(cgroup.list_processes(), signal.SIGKILL)
    _wait_until_empty(cgroup, _KILL_SECONDS)
    unmount_below((layout.run, layout.kubelet), step)
    cgroup.remove()
    shutil.rmtree(layout.run, ignore_errors=True)
    for name in _CONTAINER_RECORDS:
        records = layout.containerd / "io.containerd.grpc.v1.cri" / name
        shutil.rmtree(records, ignore_errors=True)
    networks.forget_addresses(layout)


def unmount_below(folders: Iterable[Path], step: Step) -> None:
    """Unmount everything below the folders.

    Raises:
        ToolError: something stays mounted; deleting below it would reach into volumes.
    """
    kept = tuple(folders)
    for path in list_mounts(_MOUNTS.read_text(encoding="utf-8"), kept):
        # Lazily: a process that still looks at it must not keep the rest from being cleared.
        probe(["umount", "--lazy", str(path)], log=step.log)
    remaining = list_mounts(_MOUNTS.read_text(encoding="utf-8"), kept)
    if remaining:
        raise ToolError(
            f"{remaining[0]} cannot be unmounted",
            advice=f"find who uses it (`fuser -vm {remaining[0]}`), end that, and run this again",
        )


def list_mounts(mountinfo: str, folders: tuple[Path, ...]) -> list[Path]:
    """List the mounts at or below the folders, the last one mounted first.

    A space in a path comes as a backslash and 040 (proc(5), mountinfo field 5).
    """
    points = [Path(_unescape(line.split()[4])) for line in mountinfo.splitlines()]
    own = [point for point in points if any(point.is_relative_to(folder) for folder in folders)]
    return own[::-1]


def list_shims(layout: Layout) -> set[int]:
    """List the shims that belong to our containerd, by its socket on their command line."""
    address = str(layout.containerd_socket).encode()
    return {
        pid
        for pid, words in _command_lines()
        if b"containerd-shim" in words[0] and address in words
    }


def _signal_all(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _wait_until_empty(cgroup: PodCgroup, timeout_seconds: float) -> None:
    deadline = time.monotonic() + timeout_seconds
    while cgroup.list_processes() and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)


def _command_lines() -> Iterator[tuple[int, list[bytes]]]:
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                words = (folder / "cmdline").read_bytes().split(b"\0")
                yield int(folder.name), words


def _unescape(path: str) -> str:
    return path.encode().decode("unicode_escape").encode("latin-1").decode(errors="surrogateescape")
