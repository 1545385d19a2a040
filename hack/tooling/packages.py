"""Programs that come from the distribution, installed where they are missing.

Debian starts a service as soon as its package is installed. Our tools run those programs
themselves, on ports of their own, so that is refused for as long as apt runs.

Before: ``hack.cluster``, ``hack.images`` and ``hack.services`` name the programs they need.
After: the programs are on this machine; those tools run them by name.
"""

import contextlib
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from hack.tooling import locking
from hack.tooling.errors import CommandError, ToolError
from hack.tooling.steps import Progress, Step

_INSTALL_SECONDS = 900.0
_POLICY = Path("/usr/sbin/policy-rc.d")
"""Asked by invoke-rc.d and deb-systemd-invoke before a package's script starts a service."""

_REFUSAL = (
    "#!/bin/sh\n# Made by hack/tooling/packages.py for the time of an installation.\nexit 101\n"
)
"""101: "action forbidden by policy" (Debian's policy-rc.d interface)."""

_LOCK = Path("/run/orchestrator-packages.lock")
"""The first of two runs at once would end the refusal while the second still installs."""

_SEARCH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Program:
    """A program and the Debian package that has it."""

    path: str
    """A name to be found on the path, or an absolute path, whose parts may be patterns."""
    package: str


def find(program: str) -> str | None:
    """Find a program, also where an unprivileged PATH does not look."""
    if program.startswith("/"):
        found = sorted(Path("/").glob(program.removeprefix("/")))
        return next((str(path) for path in found if os.access(path, os.X_OK)), None)
    return shutil.which(program) or shutil.which(program, path=_SEARCH)


def list_missing(programs: Sequence[Program]) -> list[str]:
    """Name the packages of the programs that are not here, sorted."""
    return sorted({program.package for program in programs if find(program.path) is None})


def install(programs: Sequence[Program], progress: Progress, *, usual_seconds: float = 25) -> None:
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
    if os.geteuid() != 0:
        raise ToolError(
            f"these packages are missing, and only root may install them: {' '.join(missing)}",
            advice=f"run `sudo apt-get install {' '.join(missing)}`, then run this again",
        )
    names = " ".join(missing)
    with (
        locking.hold(_LOCK, f"installing {names}", say=progress.say),
        progress.step(f"installing {names}", usual_seconds=usual_seconds) as step,
        services_stay_down(_POLICY),
    ):
        try:
            _install(missing, step)
        except CommandError as error:
            error.advice = advice
            raise


@contextlib.contextmanager
def services_stay_down(policy: Path) -> Iterator[None]:
    """Refuse to start services from packages' scripts, unless the machine has a policy already."""
    # Ours is there when an earlier run was killed; then it is this run that removes it.
    if policy.exists() and policy.read_text(encoding="utf-8", errors="replace") != _REFUSAL:
        yield
        return
    policy.write_text(_REFUSAL, encoding="ascii")
    try:
        policy.chmod(0o755)
        yield
    finally:
        policy.unlink(missing_ok=True)


def _install(packages: Sequence[str], step: Step) -> None:
    # RUNLEVEL=1 says the same to init scripts where the machine's own policy allows them.
    env = {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    apt = ["apt-get", "--option=DPkg::Lock::Timeout=300"]
    step.run([*apt, "update"], timeout_seconds=_INSTALL_SECONDS, env=env)
    command = [*apt, "install", "--yes", "--no-install-recommends", *packages]
    step.run(command, timeout_seconds=_INSTALL_SECONDS, env=env)
