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
from hack.cluster.configs import CGROUP
from hack.cluster.layouts import Layout
from hack.tooling.errors import ToolError
from hack.tooling.running import probe
from hack.tooling.steps import Step

TERMINATION_SECONDS = 15.0
"""Postgres needs a moment for a clean shutdown; half of a pod's usual 30 s."""

_CGROUPS = Path("/sys/fs/cgroup")
_MOUNTS = Path("/proc/self/mountinfo")
_CONTAINER_RECORDS = ("sandboxes", "containers")
_POLL_SECONDS = 0.1
_KILL_SECONDS = 5.0


def terminate_pods(step: Step) -> None:
    """Ask every process of a pod to end, then insist."""
    for number, patience_seconds in (
        (signal.SIGTERM, TERMINATION_SECONDS),
        (signal.SIGKILL, _KILL_SECONDS),
    ):
        pids = list_pod_processes()
        if not pids:
            return
        step.write(f"{number.name} to {len(pids)} processes of pods")
        _signal_all(pids, number)
        _wait_until_empty(patience_seconds)


def sweep(layout: Layout, step: Step) -> None:
    """Remove every trace of containers; the kubelet and containerd must not be running."""
    _signal_all(list_shims(layout), signal.SIGKILL)
    _signal_all(list_pod_processes(), signal.SIGKILL)
    _wait_until_empty(_KILL_SECONDS)
    unmount_below((layout.run, layout.kubelet), step)
    _remove_cgroups()
    shutil.rmtree(layout.run, ignore_errors=True)
    for name in _CONTAINER_RECORDS:
        records = layout.containerd / "io.containerd.grpc.v1.cri" / name
        shutil.rmtree(records, ignore_errors=True)
    networks.forget_addresses()


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


def list_pod_processes() -> set[int]:
    """List the processes below our cgroup, in every hierarchy of cgroup v1 or the one of v2."""
    pids: set[int] = set()
    for root in _own_cgroups():
        # os.walk, because a cgroup may vanish while we look, and it does not mind.
        for folder, _, _ in os.walk(root):
            with contextlib.suppress(OSError):
                listed = Path(folder, "cgroup.procs").read_text(encoding="ascii")
                pids |= {int(pid) for pid in listed.split()}
    # 0 stands for a process of another pid namespace.
    return pids - {0}


def list_shims(layout: Layout) -> set[int]:
    """List the shims that belong to our containerd, by its socket on their command line."""
    address = str(layout.containerd_socket).encode()
    return {
        pid
        for pid, words in _command_lines()
        if b"containerd-shim" in words[0] and address in words
    }


def ensure_cgroup() -> None:
    """Make the cgroup below which the kubelet keeps pods."""
    for hierarchy in _hierarchies():
        with contextlib.suppress(OSError):
            (hierarchy / CGROUP).mkdir(exist_ok=True)
    if _is_unified():
        return
    _copy_cpuset()


def _copy_cpuset() -> None:
    # A new cpuset of cgroup v1 starts without processors, and nothing can join it.
    for name in ("cpuset.cpus", "cpuset.mems"):
        source = _CGROUPS / "cpuset" / name
        target = _CGROUPS / "cpuset" / CGROUP / name
        if target.exists() and not target.read_text(encoding="ascii").strip():
            target.write_text(source.read_text(encoding="ascii"), encoding="ascii")


def _remove_cgroups() -> None:
    for root in _own_cgroups():
        for folder, _, _ in os.walk(root, topdown=False):
            with contextlib.suppress(OSError):
                Path(folder).rmdir()


def _is_unified() -> bool:
    return (_CGROUPS / "cgroup.controllers").exists()


def _hierarchies() -> list[Path]:
    if _is_unified():
        return [_CGROUPS]
    return [path for path in _CGROUPS.iterdir() if (path / "cgroup.procs").exists()]


def _own_cgroups() -> list[Path]:
    return [path / CGROUP for path in _hierarchies() if (path / CGROUP).is_dir()]


def _signal_all(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _wait_until_empty(timeout_seconds: float) -> None:
    deadline = time.monotonic() + timeout_seconds
    while list_pod_processes() and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)


def _command_lines() -> Iterator[tuple[int, list[bytes]]]:
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                words = (folder / "cmdline").read_bytes().split(b"\0")
                yield int(folder.name), words


def _unescape(path: str) -> str:
    return path.encode().decode("unicode_escape").encode("latin-1").decode(errors="surrogateescape")
