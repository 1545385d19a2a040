"""Files: what users upload for their tasks, and what their tasks leave.

Both are read through the same two steps, whatever store keeps them: find the
description, then read the bytes of a range in pieces. So a download needs the
memory of one piece, and another kind of store only has to offer the same.

Before: the API receives an upload; a worker settles a result.
After: ``orchestrator_api.files`` streams them to their owner.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import NewType, Protocol

from orchestrator_core.tasks import TaskId, UserId

FileId = NewType("FileId", int)

PIECE_BYTES = 256 * 1024
"""Of one read: large enough that the round trip does not count, small against a pod's memory."""
LEAST_COUNTED_BYTES = 16 * 1024
"""What even an empty file counts against a quota; without it, rows would be without number."""
MAX_NAME_LENGTH = 255


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
    expires_at: datetime | None
    """None: it is kept for good."""
    object_key: str | None
    """Where the object store has its bytes; None: its row has them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewUpload:
    """A file that is about to come in."""

    user_id: UserId
    file_name: str
    content_type: str
    announced_bytes: int | None
    """None: its size shows when it has ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadRules:
    """What holds for every upload."""

    quota_bytes: int
    """Of all files of a user together, those that are coming in among them."""
    upload_seconds: float
    """An upload that is not whole by then counts no more and is deleted."""
    keep_seconds: float
    """How long a whole file is kept."""


@dataclass(frozen=True, slots=True)
class Upload:
    """An input of a task: one of its owner's files."""

    file_id: FileId


@dataclass(frozen=True, slots=True)
class Link:
    """An input of a task: what the public internet has at a URL."""

    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InputFile:
    """An input of a task, on the disk of the worker that runs it."""

    path: Path
    size_bytes: int
    content_type: str
    """As its owner said; nobody has looked."""
    file_name: str
    """A plain name without folders."""


class ObjectStore(Protocol):
    """Where bytes lie outside Postgres, by key; Postgres knows every key."""

    async def put(self, key: str, content: bytes | Path) -> None:
        """Keep bytes, or those of a file, whole or not at all; again if there were others.

        Raises:
            StoreUnavailableError: they are not known to be kept.
        """

    def read(self, key: str, *, start: int, stop: int) -> AsyncGenerator[bytes, None]:
        """Yield the bytes from ``start`` up to and without ``stop``, in pieces.

        Raises:
            StoreUnavailableError: not all of them could be read.
        """

    async def delete(self, keys: Sequence[str]) -> None:
        """Delete objects; nothing happens where there is none.

        Raises:
            StoreUnavailableError: some may be left.
        """


class ResultStore(Protocol):
    """Where the results of tasks are read."""

    async def find(self, task_id: TaskId) -> TaskResult | None:
        """Return what is known of the task's result, or None if there is none (any more)."""

    async def prune(self, *, limit: int) -> int:
        """Delete up to ``limit`` results that have expired; return how many."""

    async def prune_objects(self, *, limit: int) -> int:
        """Delete up to ``limit`` objects that are no result's any more; return how many."""

    def read(self, result: TaskResult, *, start: int, stop: int) -> AsyncGenerator[bytes, None]:
        """Yield the bytes from ``start`` up to and without ``stop``, in pieces.

        Raises:
            StoreUnavailableError: not all of them could be read.
        """


class UploadWriter(Protocol):
    """One upload on its way into a store; ``UploadStore.receiving`` hands it out."""

    async def append(self, piece: bytes) -> None:
        """Keep the next bytes, preferably ``PIECE_BYTES`` of them.

        Raises:
            QuotaExceededError: they pass the user's quota.
            StoreUnavailableError: they are not kept.
        """

    async def finish(self) -> UploadedFile:
        """Make the upload a file; only from now on it can be found.

        Raises:
            StoreUnavailableError: it is not known to be one.
        """


class UploadStore(Protocol):
    """Where uploads are kept."""

    async def find(self, file_id: FileId) -> UploadedFile | None:
        """Return what is known of a complete, unexpired upload, or None."""

    async def list_for_user(
        self, user_id: UserId, *, after: FileId, limit: int
    ) -> list[UploadedFile]:
        """Return up to ``limit`` of the user's files with ids above ``after``, in id order."""

    def read(self, file: UploadedFile, *, start: int, stop: int) -> AsyncGenerator[bytes, None]:
        """Yield the bytes from ``start`` up to and without ``stop``, in pieces.

        Raises:
            StoreUnavailableError: not all of them could be read, perhaps because the file
                has been deleted meanwhile.
        """

    def read_whole(self, file: UploadedFile) -> AsyncGenerator[bytes, None]:
        """Yield all bytes in order, a few megabytes a round trip.

        Raises:
            StoreUnavailableError: as ``read`` does.
        """

    def receiving(
        self, new: NewUpload, rules: UploadRules
    ) -> AbstractAsyncContextManager[UploadWriter]:
        """Take an upload in; what is not finished when the context ends is dropped.

        Raises:
            QuotaExceededError: it would pass the user's quota.
            StoreUnavailableError: nothing is kept.
        """

    async def delete(self, file_id: FileId) -> None:
        """Delete a file and its content; nothing happens if there is none."""

    async def prune(self, *, limit: int) -> int:
        """Delete up to ``limit`` files and uploads whose time is over; return how many."""
