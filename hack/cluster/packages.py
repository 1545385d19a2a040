"""Programs that come from the distribution.

Before: ``node`` names what it needs.
After: the programs are on this machine; ``components`` runs them by name.
"""

import os
import shutil
from dataclasses import dataclass

from hack.tooling.errors import CommandError, ToolError
from hack.tooling.steps import Progress

_INSTALL_SECONDS = 900.0
_SEARCH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Program:
    """A program and the Debian package that has it."""

    path: str
    """A name to be found on the path, or an absolute path."""
    package: str


NODE_PROGRAMS = (
    Program("containerd", "containerd"),
    Program("ctr", "containerd"),
    Program("runc", "runc"),
    Program("/usr/lib/cni/bridge", "containernetworking-plugins"),
    Program("etcd", "etcd-server"),
    Program("conntrack", "conntrack"),
    Program("iptables", "iptables"),
    Program("ipset", "ipset"),
    Program("ip", "iproute2"),
    Program("modprobe", "kmod"),
    Program("mount", "mount"),
    Program("openssl", "openssl"),
)


def find(program: str) -> str | None:
    """Find a program, also where an unprivileged PATH does not look."""
    if program.startswith("/"):
        return program if os.access(program, os.X_OK) else None
    return shutil.which(program) or shutil.which(program, path=_SEARCH)


def list_missing(programs: tuple[Program, ...]) -> list[str]:
    """Name the packages of the programs that are not here, sorted."""
    return sorted({program.package for program in programs if find(program.path) is None})


def install(programs: tuple[Program, ...], progress: Progress) -> None:
    """Install what is missing; touch nothing when all is there.

    Raises:
        ToolError: this is no Debian, or apt failed; it names the packages.
    """
    missing = list_missing(programs)
    if not missing:
        return
    advice = f"install these packages by hand, then run this again: {' '.join(missing)}"
    if find("apt-get") is None:
        raise ToolError("apt-get is not here, so this is not Debian or Ubuntu", advice=advice)
    with progress.step(f"installing {' '.join(missing)}", usual_seconds=25) as step:
        # RUNLEVEL=1 keeps Debian's own etcd and containerd services from being started.
        env = {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
        apt = ["apt-get", "--option=DPkg::Lock::Timeout=300"]
        try:
            step.run([*apt, "update"], timeout_seconds=_INSTALL_SECONDS, env=env)
            step.run(
                [*apt, "install", "--yes", "--no-install-recommends", *missing],
                timeout_seconds=_INSTALL_SECONDS,
                env=env,
            )
        except CommandError as error:
            error.advice = advice
            raise
