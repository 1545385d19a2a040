"""Files: what users upload for their tasks, and what their tasks leave.

Both are read through the same two steps, whatever store keeps them: find the
description, then read the bytes of a range in pieces. So a download needs the
memory of one piece, and another kind of store only has to offer the same.

Before: the API receives an upload; a worker settles a result.
After: ``orchestrator_api.files`` streams them to their owner.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import NewType, Protocol

from orchestrator_core.tasks import TaskId, UserId

FileId = NewType("FileId", int)

PIECE_BYTES = 256 * 1024
"""Of one read: large enough that the round trip does not count, small against a pod's memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFacts:
    """What is known of kept bytes without reading them."""

    size_bytes: int
    sha256: bytes
    content_type: str
    file_name: str
    """A plain name without folders, for the download."""
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadedFile(FileFacts):
    """A file that a user uploaded, whole."""

    id: FileId
    user_id: UserId
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskResult(FileFacts):
    """The file that a completed task left."""

    task_id: TaskId


class ResultStore(Protocol):
    """Where the results of tasks are read."""

    async def find(self, task_id: TaskId) -> TaskResult | None:
        """Return what is known of the task's result, or None."""

    def read(self, result: TaskResult, *, start: int, stop: int) -> AsyncIterator[bytes]:
        """Yield the bytes from ``start`` up to and without ``stop``, in pieces."""


class UploadStore(Protocol):
    """Where uploads are read."""

    async def find(self, file_id: FileId) -> UploadedFile | None:
        """Return what is known of a complete, unexpired upload, or None."""

    def read(self, file: UploadedFile, *, start: int, stop: int) -> AsyncIterator[bytes]:
        """Yield the bytes from ``start`` up to and without ``stop``, in pieces."""
