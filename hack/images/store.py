"""Where images are kept on this machine, between runs and for every clone of the repository.

Before: ``ORCHESTRATOR_IMAGES_DIR``, read once by ``cli``.
After: ``building`` writes archives, ``loading`` brings them to a cluster.
"""

import hashlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

DIRECTORY_VARIABLE = "ORCHESTRATOR_IMAGES_DIR"
DEFAULT_DIRECTORY = Path("/var/lib/orchestrator-images")

KEPT_VERSIONS = 3
"""Of each image: enough to go back and forth between two branches. An archive has up to 260 MB."""


@dataclass(frozen=True)
class Store:
    """Archives, build contexts, and the builder's own storage under one folder."""

    root: Path

    @property
    def logs(self) -> Path:
        """One log per step, and how long steps took."""
        return self.root / "logs"

    @property
    def lock(self) -> Path:
        """Held by the one run that may build."""
        return self.root / "lock"

    @property
    def storage(self) -> Path:
        """The builder's layers; apart from those of the machine's user."""
        return self.root / "storage"

    @property
    def cache(self) -> Path:
        """Packages that builds have downloaded before."""
        return self.root / "cache"

    @property
    def run(self) -> Path:
        """The builder's mounts and locks, gone after a reboot."""
        return Path(
            f"/run/orchestrator-images-{hashlib.sha256(str(self.root).encode()).hexdigest()[:8]}"
        )

    @property
    def snapshot(self) -> Path:
        """The inputs of the run that builds."""
        return self.root / "snapshot"

    def archive(self, reference: str) -> Path:
        """Say where an image's archive lies, whether it is there or not."""
        name, _, key = reference.rpartition("/")[2].partition(":")
        return self.root / "archives" / name / f"{key}.tar"

    def context(self, name: str) -> Path:
        """Return a folder for a build's context, emptied."""
        folder = self.root / "contexts" / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def list_old(self, name: str) -> list[Path]:
        """List the archives of an image that are more than are kept, oldest first."""
        archives = (self.root / "archives" / name).glob("*.tar")
        return sorted(archives, key=lambda path: path.stat().st_mtime)[:-KEPT_VERSIONS]


def find_store() -> Store:
    """Open the store that the environment names, or this user's."""
    named = os.environ.get(DIRECTORY_VARIABLE)
    if named:
        return Store(Path(named).resolve())
    if os.geteuid() == 0:
        return Store(DEFAULT_DIRECTORY)
    return Store(Path.home() / ".cache" / DEFAULT_DIRECTORY.name)
