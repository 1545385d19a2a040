"""A folder for each attempt that needs one, and nothing left of it afterwards.

All lie in one folder of the process, which goes when the process ends; what a
killed worker leaves goes with its pod's volume.

Before: ``supplying`` has a claim whose handler works on files.
After: the folder is gone, also if a dying child still writes into it.
"""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self

import structlog

REMOVAL_TRIES = 20
REMOVAL_PAUSE_SECONDS = 0.1
"""Together longer than a child has between SIGTERM and SIGKILL."""

_log = structlog.get_logger(__name__)


class Folders:
    """Makes folders and removes them."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._removals: set[asyncio.Task[None]] = set()

    @classmethod
    @asynccontextmanager
    async def open(cls) -> AsyncIterator[Self]:
        """Have a place for folders while the context is open.

        Raises:
            OSError: the temporary folder can't be written.
        """
        root = Path(tempfile.mkdtemp(prefix="orchestrator-"))
        folders = cls(root)
        try:
            yield folders
        finally:
            await folders.close()
            shutil.rmtree(root, ignore_errors=True)

    @asynccontextmanager
    async def folder(self) -> AsyncIterator[Path]:
        """Make a folder that only this user may read; remove it after the context, aside."""
        path = Path(tempfile.mkdtemp(dir=self._root))
        try:
            yield path
        finally:
            removal = asyncio.create_task(_remove(path))
            self._removals.add(removal)
            removal.add_done_callback(self._removals.discard)

    async def close(self) -> None:
        """Wait until all folders are gone."""
        while self._removals:
            await asyncio.wait(self._removals)


async def _remove(path: Path) -> None:
    # The child of a cancelled attempt has half a second to end, and may write meanwhile.
    for _ in range(REMOVAL_TRIES):
        if await asyncio.to_thread(_is_removed, path):
            return
        await asyncio.sleep(REMOVAL_PAUSE_SECONDS)
    _log.warning("folder_left_behind", folder=str(path))


def _is_removed(path: Path) -> bool:
    shutil.rmtree(path, ignore_errors=True)
    return not path.exists()
