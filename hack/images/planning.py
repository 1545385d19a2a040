"""Gives each image the name under which it is kept: a hash of all that it is made from.

The same inputs are found again without building; one changed file changes the image that copies
it and those built upon that image, and no other.

Before: the catalogue, and the files of the checkout.
After: ``building`` makes the planned images that are not there yet, in this order.
"""

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from hack.images.catalogue import IMAGES, NOTHING, Image
from hack.tooling.errors import ToolError

NAMESPACE = "localhost/orchestrator"
"""No registry answers to "localhost", so that a missing image is never pulled from outside."""

RECIPE = "1"
"""Raise it when this tool makes something else from the same inputs."""

KEY_DIGITS = 12

_IGNORED_FOLDERS = {"__pycache__", ".mypy_cache", ".ruff_cache"}
_IGNORED_ENDINGS = (".pyc", ".egg-info", "~", ".swp")


class Builder(Enum):
    """What makes the images."""

    BUILDAH = "buildah"
    """No registry: bases and stand-ins come from Debian's packages."""
    DOCKER = "docker"
    """A registry can be reached: our own images upon the official bases, and no stand-ins."""


@dataclass(frozen=True)
class PlannedImage:
    """An image under its key."""

    image: Image
    reference: str
    root_reference: str = ""
    """Of the unpacked Debian packages, where the image has any."""
    arguments: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    """Build arguments: references of the images it is built upon."""
    is_built: bool = True
    """False: the reference is a published image."""


def plan(builder: Builder, root: Path, images: Sequence[Image] = IMAGES) -> list[PlannedImage]:
    """Give every image of the catalogue its reference; in the order to build them.

    Raises:
        ToolError: a file that an image is made from is missing.
    """
    planned: dict[str, PlannedImage] = {}
    for image in images:
        planned[image.name] = _plan_image(image, builder, root, planned)
    return list(planned.values())


def select(planned: Sequence[PlannedImage], names: Sequence[str]) -> list[PlannedImage]:
    """Pick images by name; without names, those that run in a cluster.

    Raises:
        ToolError: there is no image of that name.
    """
    known = {one.image.name: one for one in planned}
    for name in names:
        if name not in known:
            raise ToolError(f"there is no image {name!r}", advice=f"name one of {', '.join(known)}")
    return [one for one in planned if (one.image.name in names if names else one.image.is_deployed)]


def list_files(paths: Sequence[str], root: Path) -> Iterator[Path]:
    """List the files that an image is made from, sorted, without what tools leave behind."""
    for path in paths:
        start = root / path
        if not start.exists():
            raise ToolError(f"an image needs {start}, which is missing", advice="restore the file")
        found = [start] if start.is_file() else sorted(start.rglob("*"))
        yield from (one for one in found if one.is_file() and not _is_ignored(one, root))


def _plan_image(
    image: Image, builder: Builder, root: Path, planned: Mapping[str, PlannedImage]
) -> PlannedImage:
    if builder is Builder.DOCKER and image.official:
        return PlannedImage(image, image.official, is_built=False)
    arguments = {name: planned[base].reference for name, base in image.bases.items()}
    root_reference = ""
    if image.packages:
        key = _hash([image.packages], root, os.uname().machine)
        root_reference = f"{NAMESPACE}/{image.name}-root:{key}"
        arguments["ROOT"] = root_reference
    key = _hash(image.paths, root, os.uname().machine, *sorted(arguments.values()))
    return PlannedImage(image, f"{NAMESPACE}/{image.name}:{key}", root_reference, arguments)


def _hash(paths: Sequence[str], root: Path, *facts: str) -> str:
    digest = hashlib.sha256("\0".join((RECIPE, *facts)).encode())
    for path in list_files(paths, root):
        mode = "x" if os.access(path, os.X_OK) else "-"
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"\0{path.relative_to(root)} {mode} {content}".encode())
    return digest.hexdigest()[:KEY_DIGITS]


def _is_ignored(path: Path, root: Path) -> bool:
    parts = path.relative_to(root).parts
    return any(part in _IGNORED_FOLDERS or part.endswith(_IGNORED_ENDINGS) for part in parts)
