"""The cgroup below which every process of a pod lives.

It is how the pods of one cluster are told from everything else on the machine: whoever is in it
was started by our kubelet, however its parents ended.

Before: ``nodes`` makes it; the kubelet puts pods below it.
After: ``sweeping`` ends who is left and removes it.
"""

import contextlib
import os
from pathlib import Path

_MOUNT = Path("/sys/fs/cgroup")


class PodCgroup:
    """One cgroup by name, in every hierarchy of cgroup v1 or in the one of v2."""

    def __init__(self, name: str, mount: Path = _MOUNT) -> None:
        self._name = name
        self._mount = mount

    def ensure(self) -> None:
        """Make it, able to hold what the kubelet wants to limit."""
        if self._is_unified():
            self._delegate()
        for hierarchy in self._hierarchies():
            # A hierarchy that cannot be written is one the kubelet does without.
            with contextlib.suppress(OSError):
                (hierarchy / self._name).mkdir(exist_ok=True)
        if not self._is_unified():
            self._copy_cpuset()

    def list_processes(self) -> set[int]:
        """List the processes in it and below."""
        pids: set[int] = set()
        for root in self._roots():
            # os.walk, because a cgroup may vanish while we look, and it does not mind.
            for folder, _, _ in os.walk(root):
                with contextlib.suppress(OSError):
                    listed = Path(folder, "cgroup.procs").read_text(encoding="ascii")
                    pids |= {int(pid) for pid in listed.split()}
        # 0 stands for a process of another pid namespace.
        return pids - {0}

    def remove(self) -> None:
        """Remove it, as far as it is empty."""
        for root in self._roots():
            for folder, _, _ in os.walk(root, topdown=False):
                with contextlib.suppress(OSError):
                    Path(folder).rmdir()

    def _delegate(self) -> None:
        # The kubelet insists on each controller; the root hands down only what it is told to.
        controllers = (self._mount / "cgroup.controllers").read_text(encoding="ascii").split()
        for controller in controllers:
            with contextlib.suppress(OSError):
                (self._mount / "cgroup.subtree_control").write_text(f"+{controller}")

    def _copy_cpuset(self) -> None:
        # A new cpuset of cgroup v1 starts without processors, and nothing can join it.
        for name in ("cpuset.cpus", "cpuset.mems"):
            target = self._mount / "cpuset" / self._name / name
            if target.exists() and not target.read_text(encoding="ascii").strip():
                source = self._mount / "cpuset" / name
                target.write_text(source.read_text(encoding="ascii"), encoding="ascii")

    def _is_unified(self) -> bool:
        return (self._mount / "cgroup.controllers").exists()

    def _hierarchies(self) -> list[Path]:
        if self._is_unified():
            return [self._mount]
        return [path for path in self._mount.iterdir() if (path / "cgroup.procs").exists()]

    def _roots(self) -> list[Path]:
        found = (hierarchy / self._name for hierarchy in self._hierarchies())
        return [root for root in found if root.is_dir()]
