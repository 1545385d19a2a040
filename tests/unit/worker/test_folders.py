"""What an attempt wrote is gone soon after it, whatever still writes."""

import asyncio
import contextlib
import itertools
import threading
import time
from pathlib import Path

from orchestrator_worker.folders import Folders
from supplied import entries


async def test_a_folder_is_private_and_goes_with_its_contents() -> None:
    async with Folders.open() as folders:
        async with folders.folder() as path:
            (path / "deep").mkdir()
            (path / "deep" / "file").write_bytes(b"x")
            mode = path.stat().st_mode & 0o777
        root = path.parent

    assert mode == 0o700
    assert not root.exists()


async def test_a_late_writer_does_not_keep_a_folder(tmp_path: Path) -> None:
    folders = Folders(tmp_path)

    has_begun = threading.Event()

    def write_until_it_is_gone(path: Path) -> int:
        # A child that is told to end has half a second.
        end = time.monotonic() + 0.4
        with contextlib.suppress(FileNotFoundError):
            for number in itertools.count():
                (path / f"late-{number}").touch()
                has_begun.set()
                if time.monotonic() > end:
                    break
        return number

    async with folders.folder() as path:
        writing = asyncio.create_task(asyncio.to_thread(write_until_it_is_gone, path))
        await asyncio.to_thread(has_begun.wait)
    await folders.close()

    assert await writing > 0
    assert entries(tmp_path) == []
