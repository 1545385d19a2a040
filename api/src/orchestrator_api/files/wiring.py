"""Make the parts that files need, and connect them.

Before: ``orchestrator_api.wiring`` has opened the database.
After: requests find them in ``request.state.files``.
"""

from collections.abc import AsyncGenerator
from dataclasses import dataclass

from orchestrator_api.files.ranges import ByteRange
from orchestrator_api.files.receiving import Receiving, ReceivingRules
from orchestrator_api.places import Places
from orchestrator_api.settings import ApiSettings
from orchestrator_core.files import (
    FileId,
    ResultStore,
    TaskResult,
    UploadedFile,
    UploadRules,
    UploadStore,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileParts:
    """What takes files in and hands them out."""

    uploads: UploadStore
    results: ResultStore
    receiving: Receiving
    downloads: Places

    async def find(self, file_id: FileId) -> UploadedFile | None:
        """Return the file of this id, whoever owns it; only ``ownership`` may ask."""
        return await self.uploads.find(file_id)

    def read_upload(self, file: UploadedFile, part: ByteRange) -> AsyncGenerator[bytes, None]:
        """Yield the bytes of a part of a file."""
        return self.uploads.read(file, start=part.start, stop=part.stop)

    def read_result(self, result: TaskResult, part: ByteRange) -> AsyncGenerator[bytes, None]:
        """Yield the bytes of a part of a task's result."""
        return self.results.read(result, start=part.start, stop=part.stop)


def build_files(settings: ApiSettings, uploads: UploadStore, results: ResultStore) -> FileParts:
    """Return the parts over these stores."""
    rules = ReceivingRules(
        limit_bytes=settings.file_limit_bytes,
        types=settings.file_types,
        piece_seconds=settings.file_piece_seconds,
        kept=UploadRules(
            quota_bytes=settings.file_quota_bytes,
            upload_seconds=settings.file_upload_seconds,
            keep_seconds=settings.file_ttl_seconds,
        ),
    )
    per_user = settings.file_transfers_per_user
    return FileParts(
        uploads=uploads,
        results=results,
        receiving=Receiving(
            uploads, Places("uploads", total=settings.file_uploads, per_user=per_user), rules
        ),
        downloads=Places("downloads", total=settings.file_downloads, per_user=per_user),
    )
