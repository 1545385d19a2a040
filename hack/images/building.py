"""Builds what is not there yet, in the catalogue's order, and nothing else.

An image counts as there when its archive is; an interrupted run leaves partial files that are
never taken for one. What an image is built upon is made only when it is needed.

Before: ``planning`` gave every image its reference.
After: archives in the store; ``loading`` brings them to a cluster.
"""

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from hack.images import mirrors, roots
from hack.images.engines import Buildah, Docker, Engine, Recipe
from hack.images.planning import Builder, PlannedImage
from hack.images.snapshots import copy_context
from hack.images.store import Store
from hack.tooling import packages
from hack.tooling.errors import ToolError
from hack.tooling.running import probe, run
from hack.tooling.steps import Progress, Step

ROOT = Path(__file__).resolve().parents[2]

PROGRAMS = (
    packages.Program("buildah", "buildah"),
    packages.Program("mmdebstrap", "mmdebstrap"),
)
_KEYRING = packages.Program("debian-archive-keyring", "debian-archive-keyring")

_PROGRAM_SECONDS = 1800.0


class Workshop:
    """Everything that a run needs to build images."""

    def __init__(  # noqa: PLR0913 - the parts of one run, all named
        self,
        planned: Sequence[PlannedImage],
        *,
        builder: Builder,
        store: Store,
        snapshot: Path,
        progress: Progress,
        engine: Engine | None = None,
    ) -> None:
        self._planned = {one.reference: one for one in planned}
        self._builder = builder
        self._store = store
        self._snapshot = snapshot
        self._progress = progress
        self._engine = engine or (Docker() if builder is Builder.DOCKER else Buildah(store))
        self._known: set[str] | None = None

    def provide(self, images: Sequence[PlannedImage]) -> None:
        """Make the archives that are missing."""
        for one in (one for one in images if one.is_built):
            archive = self._store.archive(one.reference)
            if archive.exists():
                # What was used last is forgotten last.
                archive.touch()
            else:
                self._make_archive(one, archive)
                self._engine.tidy()

    def _make_archive(self, one: PlannedImage, archive: Path) -> None:
        self._ensure_image(one)
        archive.parent.mkdir(parents=True, exist_ok=True)
        partial = archive.with_suffix(".partial")
        # buildah refuses to write into an archive that an interrupted run left behind.
        partial.unlink(missing_ok=True)
        with self._progress.step(f"saving {one.image.name}", usual_seconds=2) as step:
            self._engine.save(one.reference, partial, step)
        partial.rename(archive)
        self._forget_old(one)

    def _ensure_image(self, one: PlannedImage) -> None:
        if not one.is_built or self._is_known(one.reference):
            return
        for reference in one.arguments.values():
            if reference in self._planned:
                self._ensure_image(self._planned[reference])
        name = one.image.name
        program = self._find_program(one.image.program)
        with self._progress.step(f"building {name}", usual_seconds=one.image.usual_seconds) as step:
            if one.root_reference and not self._is_known(one.root_reference):
                self._make_root(one, step)
            context = self._store.context(one.image.name)
            dockerfile = copy_context(one.image, self._snapshot, context)
            if program:
                shutil.copy2(program, context / program.name)
            uses_index = bool(one.image.bases)
            recipe = Recipe(one.reference, dockerfile, context, one.arguments, uses_index)
            self._engine.build(recipe, step)
            shutil.rmtree(context, ignore_errors=True)
        self._known = None

    def _make_root(self, one: PlannedImage, step: Step) -> None:
        if not isinstance(self._engine, Buildah):
            raise ToolError(f"{one.image.name} can only be built with buildah")
        packages_list = roots.parse_packages((self._snapshot / one.image.packages).read_text())
        container, folder = self._engine.start_empty()
        try:
            roots.unpack(packages_list, mirrors.find_mirrors(), folder, step)
            self._engine.commit(container, one.root_reference, step)
        finally:
            self._engine.remove(container)

    def _find_program(self, name: str) -> Path | None:
        if not name:
            return None
        with self._progress.step(f"getting {name}", usual_seconds=20):
            command = [sys.executable, "-m", "hack.cluster", "tool", name]
            answer = run(command, timeout_seconds=_PROGRAM_SECONDS, cwd=ROOT).output
        return Path(answer.strip().splitlines()[-1])

    def _forget_old(self, one: PlannedImage) -> None:
        for archive in self._store.list_old(one.image.name):
            self._engine.forget(f"{one.reference.partition(':')[0]}:{archive.stem}")
            archive.unlink()

    def _is_known(self, reference: str) -> bool:
        if self._known is None:
            self._known = self._engine.list_images()
        return reference in self._known


def install_programs(builder: Builder, progress: Progress) -> None:
    """Install what building needs, where it is missing."""
    if builder is Builder.BUILDAH:
        # A keyring is no program that could be found on the path.
        wanted = PROGRAMS if mirrors.KEYRING.exists() else (*PROGRAMS, _KEYRING)
        packages.install(wanted, progress)


def clean(store: Store, builder: Builder) -> None:
    """Remove every image and archive of this tool; keep the logs, which say how long steps take."""
    if builder is Builder.DOCKER:
        Docker().remove_all()
    elif store.storage.exists():
        Buildah(store).remove_all()
        # buildah leaves its storage mounted upon itself.
        probe(["umount", "--recursive", store.storage / "overlay"])
    for name in ("storage", "cache", "archives", "contexts", "snapshot"):
        shutil.rmtree(store.root / name, ignore_errors=True)
