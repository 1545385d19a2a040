"""The JSON of the file endpoints.

Before: the store describes a file.
After: its owner reads it.
"""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, Field

from orchestrator_core.files import UploadedFile


class FileView(BaseModel):
    """A file as its owner sees it."""

    id: Annotated[int, Field(examples=[1])]
    file_name: Annotated[str, Field(examples=["photo.jpg"])]
    content_type: Annotated[str, Field(examples=["image/jpeg"])]
    size_bytes: Annotated[int, Field(examples=[1234567])]
    sha256: Annotated[
        str,
        Field(
            description="of the content, in hexadecimal digits",
            examples=["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"],
        ),
    ]
    created_at: datetime
    expires_at: Annotated[datetime, Field(description="it is deleted then")]

    @classmethod
    def from_file(cls, file: UploadedFile) -> "FileView":
        """Show ``file``."""
        return cls(
            id=file.id,
            file_name=file.file_name,
            content_type=file.content_type,
            size_bytes=file.size_bytes,
            sha256=file.sha256.hex(),
            created_at=file.created_at,
            expires_at=file.expires_at,
        )


class FilePage(BaseModel):
    """Some of the caller's files, oldest first."""

    files: list[FileView]
    next_cursor: Annotated[
        int | None, Field(description="pass it as `cursor` for the next page; null on the last")
    ]
