"""A supplier without Postgres, for tests of what happens around it.

Before: a test says which files there are, and what their owner has.
After: the executor under test supplies its handlers with them.
"""

import tempfile
from collections.abc import AsyncGenerator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from orchestrator_core.files import FileId, UploadedFile, UploadStore
from orchestrator_core.owners import OwnersData
from orchestrator_core.tasks import UserId
from orchestrator_worker.fetching import Fetcher
from orchestrator_worker.folders import Folders
from orchestrator_worker.supplying import Supplier

OWNER = UserId(1)
"""Of ``a_claim``."""


class KeptUploads:
    """Only what a supplier asks of an ``UploadStore``."""

    def __init__(self, contents: Mapping[int, bytes], *, error: Exception | None = None) -> None:
        self._contents = contents
        self._error = error

    async def find(self, file_id: FileId) -> UploadedFile | None:
        if self._error is not None:
            raise self._error
        if file_id not in self._contents:
            return None
        return UploadedFile(
            id=file_id,
            user_id=OWNER,
            size_bytes=len(self._contents[file_id]),
            sha256=bytes(32),
            content_type="text/plain",
            file_name="note.txt",
            created_at=datetime(2026, 1, 1, tzinfo=UTC),
            expires_at=datetime(2030, 1, 1, tzinfo=UTC),
        )

    async def read_whole(self, file: UploadedFile) -> AsyncGenerator[bytes, None]:
        for piece in (slice(0, 3), slice(3, None)):
            yield self._contents[file.id][piece]


class NamedOwner:
    """Tells only whose data it would be."""

    def __init__(self, user_id: UserId) -> None:
        self.user_id = user_id


def a_supplier(
    contents: Mapping[int, bytes] | None = None,
    *,
    folders: Folders | None = None,
    error: Exception | None = None,
    fetcher: Fetcher | None = None,
) -> Supplier:
    """Return a supplier; by default its owner has no file."""
    uploads: Any = KeptUploads(contents or {}, error=error)
    return Supplier(
        folders or Folders(Path(tempfile.gettempdir())),
        cast("UploadStore", uploads),
        lambda user_id: cast("OwnersData", NamedOwner(user_id)),
        fetcher,
    )


def entries(folder: Path) -> list[str]:
    """Return what is in a folder."""
    return sorted(path.name for path in folder.iterdir())
