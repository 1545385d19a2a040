"""Where Debian trixie's packages come from: wherever this machine's own packages do.

A machine reaches its distribution's mirror, or it could not install anything. Naming that mirror
here would break everybody behind another one; apt itself knows it.

Before: apt's sources on this machine.
After: ``roots`` gives the lines to mmdebstrap.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from hack.tooling.errors import ToolError
from hack.tooling.running import run

SUITE = "trixie"
MIRROR_VARIABLE = "ORCHESTRATOR_IMAGES_DEBIAN_MIRROR"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")

_DEBIAN_SUITES = r"(?:buster|bullseye|bookworm|trixie|forky|duke|sid|stable|testing|unstable)"
_PARTS = ("", "-updates", "-security")
_PASSED_ON = ("Acquire::http", "Acquire::Check-Valid-Until", "Acquire::Retries")
"""Options of apt that decide whether a mirror can be reached: proxies, certificates, retries."""


@dataclass(frozen=True)
class Mirrors:
    """Lines of apt's sources, and options for apt."""

    sources: tuple[str, ...]
    options: tuple[str, ...]


def find_mirrors() -> Mirrors:
    """Ask apt where this machine gets Debian from, and how.

    Raises:
        ToolError: none of its sources is a Debian mirror.
    """
    format_ = "$(CREATED_BY) $(REPO_URI) $(RELEASE) $(COMPONENT)"
    targets = run(["apt-get", "indextargets", "--format", format_]).output
    sources = to_sources(targets, mirror=os.environ.get(MIRROR_VARIABLE, ""))
    return Mirrors(sources, to_options(run(["apt-config", "dump"]).output))


def to_sources(targets: str, *, mirror: str = "") -> tuple[str, ...]:
    """Turn this machine's mirrors into sources of trixie.

    Args:
        targets: of apt, one a line: kind, address, release, component.
        mirror: an address that is used instead of them all.

    Raises:
        ToolError: none of them is a Debian mirror.
    """
    found: dict[str, str] = {"": mirror} if mirror else {}
    for line in [] if mirror else targets.splitlines():
        kind, address, release, component = [*line.split(), "", "", ""][:4]
        named = re.fullmatch(rf"{_DEBIAN_SUITES}(|-updates|-security)", release)
        if kind == "Packages" and component == "main" and named:
            found.setdefault(named[1], address)
    if "" not in found:
        raise ToolError(
            "none of apt's sources here is a Debian mirror, and the images' packages are Debian's",
            advice=f"set {MIRROR_VARIABLE} to the address of one, or build with --builder docker",
        )
    signed = f"[signed-by={KEYRING}]"
    return tuple(
        f"deb {signed} {found[part]} {SUITE}{part} main" for part in _PARTS if part in found
    )


def to_options(dump: str) -> tuple[str, ...]:
    """Pick what ``apt-config dump`` says about reaching mirrors."""
    return tuple(line for line in dump.splitlines() if line.startswith(_PASSED_ON))
