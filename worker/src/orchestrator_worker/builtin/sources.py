"""The file that a task works on, as a client names it.

Before: the API validated a payload of a type whose model stands on ``FileSource``.
After: the worker's ``supplying`` brings the file; the handler finds it by ``THE_FILE``.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from orchestrator_core.files import FileId, Link, Upload
from orchestrator_core.handlers import Payload, TaskContext
from orchestrator_worker.addresses import MAX_URL_LENGTH

THE_FILE = "file"
MAX_ID = 2**63 - 1


class FileSource(Payload):
    """Names one file, or none for a generated sample."""

    file_id: int | None = Field(
        default=None,
        ge=1,
        le=MAX_ID,
        description="Of a file that you uploaded to `/api/v1/files`",
        examples=[7],
    )
    source_url: str | None = Field(
        default=None,
        max_length=MAX_URL_LENGTH,
        description=(
            "Instead of `file_id`: where the file is in the public internet. Only if whoever runs"
            " this service has switched it on"
        ),
        examples=["https://example.com/file"],
    )

    @property
    def is_given(self) -> bool:
        """Whether it names a file."""
        return self.file_id is not None or self.source_url is not None

    @model_validator(mode="after")
    def _name_one(self) -> Self:
        if self.file_id is not None and self.source_url is not None:
            raise ValueError("give file_id or source_url, not both")
        return self


def name_file(payload: FileSource) -> Mapping[str, Upload | Link]:
    """Return what the worker is to bring; the ``inputs`` of a type."""
    if payload.file_id is not None:
        return {THE_FILE: Upload(FileId(payload.file_id))}
    if payload.source_url is not None:
        return {THE_FILE: Link(payload.source_url)}
    return {}


def find_file(context: TaskContext) -> Path | None:
    """Return where the file that was brought lies; None: the payload names none."""
    file = context.inputs.get(THE_FILE)
    return None if file is None else file.path
