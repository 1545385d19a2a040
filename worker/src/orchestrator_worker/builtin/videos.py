"""``VIDEO_PROCESS``: what a client may ask for.

Before: the API validated the payload against this model's JSON Schema.
After: ``transcoding``, ``stills`` or ``probing`` does it, in a child process.
"""

from enum import StrEnum
from typing import Self

from pydantic import ConfigDict, Field, model_validator

from orchestrator_core.attempts import ResultFile, ResultOnDisk
from orchestrator_core.handlers import HandlerGroup, TaskContext
from orchestrator_worker.builtin.sources import FileSource, find_file, name_file

MAX_SIDE_PIXELS = 3840
MAX_SECONDS = 4 * 3600
TIMEOUT_SECONDS = 900
MEMORY_BYTES = 3 * 1024**3
"""Address space: codecs map much more than they use."""
DEFAULT_STILL_WIDTH = 640
DEFAULT_SHEET_WIDTH = 1280


class Operation(StrEnum):
    """What becomes of the video."""

    TRANSCODE = "transcode"
    """Another video."""
    THUMBNAIL = "thumbnail"
    """One picture of it."""
    CONTACT_SHEET = "contact_sheet"
    """Many small pictures of it on one."""
    PROBE = "probe"
    """What is known of it, as JSON."""


class VideoFormat(StrEnum):
    """What a video is encoded as."""

    MP4 = "mp4"
    """H.264 and AAC."""
    WEBM = "webm"
    """VP9 and Opus."""


class StillFormat(StrEnum):
    """What a picture is encoded as."""

    JPEG = "JPEG"
    PNG = "PNG"


BELONGS_TO = {
    "format": {Operation.TRANSCODE},
    "quality": {Operation.TRANSCODE},
    "start_seconds": {Operation.TRANSCODE},
    "end_seconds": {Operation.TRANSCODE},
    "without_audio": {Operation.TRANSCODE},
    "height": {Operation.TRANSCODE, Operation.THUMBNAIL},
    "width": {Operation.TRANSCODE, Operation.THUMBNAIL, Operation.CONTACT_SHEET},
    "at_seconds": {Operation.THUMBNAIL},
    "still_format": {Operation.THUMBNAIL, Operation.CONTACT_SHEET},
    "columns": {Operation.CONTACT_SHEET},
    "rows": {Operation.CONTACT_SHEET},
}


class ProcessVideo(FileSource):
    """Transcode, scale and trim a video, take pictures of it, or look what it is.

    The video is an MP4, QuickTime, WebM, Matroska, AVI, MPEG-TS, Ogg, FLV or GIF file, recognised
    by its content. The result is upright and has no metadata. Without `file_id` and `source_url`,
    it is a generated sample of three seconds.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"file_id": 7, "operation": "transcode", "format": "mp4", "width": 1280},
                {"file_id": 7, "operation": "thumbnail", "at_seconds": 12.5},
                {"file_id": 7, "operation": "contact_sheet", "columns": 5, "rows": 4},
                {"file_id": 7, "operation": "probe"},
                {},
            ]
        }
    )

    operation: Operation = Field(
        default=Operation.TRANSCODE,
        description="`transcode`, `thumbnail`, `contact_sheet` or `probe`",
    )
    format: VideoFormat = Field(
        default=VideoFormat.MP4,
        description="Of `transcode`: `mp4` (H.264 and AAC) or `webm` (VP9 and Opus)",
    )
    quality: int = Field(
        default=60, ge=1, le=100, description="Of `transcode`: 100 is the best and the largest"
    )
    width: int | None = Field(
        default=None,
        ge=16,
        le=MAX_SIDE_PIXELS,
        description="Pixels; the shape stays, so the result fits into width and height",
        examples=[1280],
    )
    height: int | None = Field(
        default=None,
        ge=16,
        le=MAX_SIDE_PIXELS,
        description="Of `transcode` and `thumbnail`: pixels",
    )
    start_seconds: float = Field(
        default=0.0, ge=0, le=MAX_SECONDS, description="Of `transcode`: leave out what is before"
    )
    end_seconds: float | None = Field(
        default=None, gt=0, le=MAX_SECONDS, description="Of `transcode`: leave out what is after"
    )
    without_audio: bool = Field(default=False, description="Of `transcode`: leave the sound out")
    at_seconds: float | None = Field(
        default=None,
        ge=0,
        le=MAX_SECONDS,
        description="Of `thumbnail`: which moment; a tenth of the video if absent",
        examples=[12.5],
    )
    columns: int = Field(default=4, ge=1, le=12, description="Of `contact_sheet`")
    rows: int = Field(default=4, ge=1, le=12, description="Of `contact_sheet`")
    still_format: StillFormat = Field(
        default=StillFormat.JPEG, description="Of `thumbnail` and `contact_sheet`: `JPEG` or `PNG`"
    )

    @model_validator(mode="after")
    def _fit(self) -> Self:
        for name in sorted(self.model_fields_set & BELONGS_TO.keys()):
            if self.operation not in BELONGS_TO[name]:
                raise ValueError(f"{name} is not for {self.operation}")
        if self.end_seconds is not None and self.end_seconds <= self.start_seconds:
            raise ValueError("end_seconds must be after start_seconds")
        return self


def process_video(payload: ProcessVideo, context: TaskContext) -> ResultFile | ResultOnDisk:
    """Do what the payload asks for."""
    # PyAV in child processes only.
    from orchestrator_worker.builtin import (  # noqa: PLC0415
        probing,
        stills,
        transcoding,
        video_samples,
    )

    path = find_file(context) or video_samples.make(context.folder / "sample")
    match payload.operation:
        case Operation.TRANSCODE:
            return transcoding.transcode(payload, context, path)
        case Operation.THUMBNAIL:
            return stills.take_thumbnail(payload, context, path)
        case Operation.CONTACT_SHEET:
            return stills.draw_contact_sheet(payload, context, path)
        case Operation.PROBE:
            return probing.probe(path)


def register(handlers: HandlerGroup) -> None:
    """Offer the original service's name."""
    handlers.register(
        "VIDEO_PROCESS",
        payload=ProcessVideo,
        timeout_seconds=TIMEOUT_SECONDS,
        memory_bytes=MEMORY_BYTES,
        inputs=name_file,
    )(process_video)
