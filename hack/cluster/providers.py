"""What every way to a cluster offers.

Before: ``cli`` calls; ``choosing`` picks one.
After: ``nodes``, ``kinds`` and ``existing`` each do it their way.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Protocol

from hack.tooling.steps import Progress


class Extent(Enum):
    """How much ``down`` takes away."""

    PROCESSES = "processes"
    """What runs; resources, volumes, images and programs stay."""
    DATA = "data"
    """Also the cluster itself: resources, volumes, images."""
    EVERYTHING = "everything"
    """Also the programs that were built, and the logs."""


@dataclass(frozen=True)
class Status:
    """How a cluster is: lines for a person, one fact for a script."""

    is_usable: bool
    lines: tuple[str, ...]


class Provider(Protocol):
    """A way to a cluster."""

    @property
    def name(self) -> str:
        """As in ``--provider``."""

    @property
    def kubeconfig(self) -> Path:
        """How to reach the cluster; the file exists once it is up."""

    def check(self) -> None:
        """Insist on what ``up`` needs, changing nothing.

        Raises:
            ToolError: something is missing; one sentence says what to do.
        """

    def up(self, progress: Progress) -> None:
        """Bring the cluster to where it can be used, from wherever it is."""

    def down(self, progress: Progress, extent: Extent) -> None:
        """Take away what ``up`` made, and nothing else."""

    def load(self, archives: Sequence[Path], progress: Progress) -> None:
        """Bring images from docker-archives into the cluster."""

    def observe_status(self) -> Status:
        """Look how the cluster is, changing nothing."""

    def list_logs(self) -> dict[str, Path]:
        """List the logs of its processes: name to file."""
