"""Copies of what images are made from, taken before anything is hashed or built.

Building everything takes minutes, and people go on editing. An image built from the checkout
itself would hold the edit under the key of what was there before, and keep it for good.

Before: the checkout, at the moment a build starts.
After: ``planning`` hashes the copy, ``building`` fills each image's build context from it.
"""

import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from hack.images.catalogue import Image
from hack.images.planning import list_files


def take_snapshot(images: Sequence[Image], root: Path, folder: Path) -> Path:
    """Copy every input of the images into a folder, which is emptied first; returns it.

    Raises:
        ToolError: a file that an image is made from is missing.
    """
    shutil.rmtree(folder, ignore_errors=True)
    for image in images:
        _copy_files(list_files(image.paths, root), root, folder)
    return folder


def copy_context(image: Image, snapshot: Path, folder: Path) -> Path:
    """Fill a build's context with those inputs that lie in it; returns its Dockerfile."""
    start = snapshot / image.context
    files = list_files(image.paths, snapshot)
    # Inputs outside the context count for the key alone.
    _copy_files((path for path in files if path.is_relative_to(start)), start, folder)
    return folder / Path(image.dockerfile).relative_to(image.context)


def _copy_files(files: Iterable[Path], start: Path, folder: Path) -> None:
    for path in files:
        target = folder / path.relative_to(start)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target)
