"""Uploads in Postgres: taken in, read, listed and forgotten piece by piece.

No transaction is open while a client sends or reads, however slow it is: each
piece is a short statement of its own. A file exists from the statement that
finishes it; before that its row only holds room in the user's quota.

Before: the API's ``files`` receives what clients send.
After: the API streams a file to its owner; a worker reads it as input.
"""

import hashlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress

from orchestrator_core.errors import QuotaExceededError, StoreUnavailableError
from orchestrator_core.files import (
    LEAST_COUNTED_BYTES,
    FileId,
    NewUpload,
    UploadedFile,
    UploadRules,
)
from orchestrator_core.postgres.database import Database
from orchestrator_core.postgres.pieces import Content, read_pieces
from orchestrator_core.postgres.queries import load_statements
from orchestrator_core.tasks import UserId

PIECES_AT_ONCE = 16
"""4 MB of most files; a pod's worker has room for that."""

_SQL = load_statements("files")


class PostgresUploadStore:
    """An ``UploadStore`` beside the tasks."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, file_id: FileId) -> UploadedFile | None:
        """Return what is known of a complete, unexpired upload, or None."""
        async with self._database.answering(f"find file {file_id}") as connection:
            row = await connection.fetchrow(_SQL["find_file"], file_id)
        return None if row is None else UploadedFile(**row)

    async def list_for_user(
        self, user_id: UserId, *, after: FileId, limit: int
    ) -> list[UploadedFile]:
        """Return up to ``limit`` of the user's files with ids above ``after``, in id order."""
        async with self._database.answering(f"list files of user {user_id}") as connection:
            rows = await connection.fetch(_SQL["list_files"], user_id, after, limit)
        return [UploadedFile(**row) for row in rows]

    def read(self, file: UploadedFile, *, start: int, stop: int) -> AsyncGenerator[bytes, None]:
        """Yield the bytes from ``start`` up to and without ``stop``, in pieces."""
        content = Content(name=f"file {file.id}", key=file.id, statement=_SQL["read_piece"])
        return read_pieces(self._database, content, start=start, stop=stop)

    async def read_whole(self, file: UploadedFile) -> AsyncGenerator[bytes, None]:
        """Yield all bytes, many pieces a round trip: for whoever writes them to a disk."""
        at = 0
        while at < file.size_bytes:
            attempted = f"read file {file.id} from byte {at} on"
            async with self._database.answering(attempted) as connection:
                rows = await connection.fetch(_SQL["read_pieces"], file.id, at, PIECES_AT_ONCE)
            if not rows:
                raise StoreUnavailableError("postgres", f"{attempted}: there is nothing")
            for row in rows:
                at += len(row["content"])
                yield row["content"]

    @asynccontextmanager
    async def receiving(
        self, new: NewUpload, rules: UploadRules
    ) -> AsyncIterator["PostgresUploadWriter"]:
        """Take an upload in; what is not finished when the context ends is dropped.

        Raises:
            QuotaExceededError: it would pass the user's quota.
            StoreUnavailableError: nothing is kept.
        """
        writer = PostgresUploadWriter(self._database, new, rules, await self._begin(new, rules))
        try:
            yield writer
        finally:
            if not writer.is_finished:
                # If this fails too, the row expires by itself, and then is pruned.
                with suppress(StoreUnavailableError):
                    await self.delete(writer.file_id)

    async def delete(self, file_id: FileId) -> None:
        """Delete a file and its content; nothing happens if there is none."""
        async with self._database.answering(f"delete file {file_id}") as connection:
            await connection.execute(_SQL["delete_file"], file_id)

    async def prune(self, *, limit: int) -> int:
        """Delete up to ``limit`` files and uploads whose time is over; return how many."""
        async with self._database.answering("prune files") as connection:
            return len(await connection.fetch(_SQL["prune_files"], limit))

    async def _begin(self, new: NewUpload, rules: UploadRules) -> FileId:
        attempted = f"begin an upload of user {new.user_id}"
        async with self._database.answering(attempted) as connection, connection.transaction():
            await connection.execute(_SQL["lock_user"], new.user_id)
            file_id = await connection.fetchval(
                _SQL["begin_upload"],
                new.user_id,
                new.content_type,
                new.file_name,
                new.announced_bytes or 0,
                rules.upload_seconds,
                rules.quota_bytes,
                LEAST_COUNTED_BYTES,
            )
        if file_id is None:
            raise QuotaExceededError(rules.quota_bytes)
        return FileId(file_id)


class PostgresUploadWriter:
    """One upload on its way in. Appends come one after the other."""

    def __init__(
        self, database: Database, new: NewUpload, rules: UploadRules, file_id: FileId
    ) -> None:
        self._database = database
        self._new = new
        self._rules = rules
        self._reserved_bytes = new.announced_bytes or 0
        self._size_bytes = 0
        self._hash = hashlib.sha256()
        self.file_id = file_id
        self.is_finished = False

    async def append(self, piece: bytes) -> None:
        """Keep the next bytes.

        Raises:
            QuotaExceededError: they pass the user's quota.
            StoreUnavailableError: they are not kept.
        """
        if not piece:
            return
        end = self._size_bytes + len(piece)
        if end > self._reserved_bytes:
            await self._reserve(end)
        attempted = f"append to file {self.file_id}"
        async with self._database.answering(attempted) as connection:
            kept = await connection.fetchval(
                _SQL["append_piece"], self.file_id, self._size_bytes, piece
            )
        if kept is None:
            raise StoreUnavailableError("postgres", f"{attempted}: it is gone")
        self._hash.update(piece)
        self._size_bytes = end

    async def finish(self) -> UploadedFile:
        """Make the upload a file; only from now on it can be found.

        Raises:
            StoreUnavailableError: it is not known to be one.
        """
        attempted = f"finish file {self.file_id}"
        async with self._database.answering(attempted) as connection:
            row = await connection.fetchrow(
                _SQL["finish_upload"],
                self.file_id,
                self._size_bytes,
                self._hash.digest(),
                self._rules.keep_seconds,
            )
        if row is None:
            raise StoreUnavailableError("postgres", f"{attempted}: it is gone")
        self.is_finished = True
        return UploadedFile(**row)

    async def _reserve(self, size_bytes: int) -> None:
        attempted = f"reserve room for file {self.file_id}"
        async with self._database.answering(attempted) as connection, connection.transaction():
            await connection.execute(_SQL["lock_user"], self._new.user_id)
            grown = await connection.fetchval(
                _SQL["grow_upload"],
                self._new.user_id,
                self.file_id,
                size_bytes,
                self._rules.quota_bytes,
                LEAST_COUNTED_BYTES,
            )
        if grown is None:
            # Or it is gone, which only happens when its time is over.
            raise QuotaExceededError(self._rules.quota_bytes)
        self._reserved_bytes = size_bytes
