"""``IMAGE_RESIZE`` and ``resize_image``: what a client may ask for.

Before: the API validated the payload against this model's JSON Schema.
After: ``pictures`` does it, in a child process.
"""

from enum import StrEnum
from typing import Self

from pydantic import ConfigDict, Field, model_validator

from orchestrator_core.attempts import ResultFile
from orchestrator_core.handlers import HandlerGroup, Payload, TaskContext
from orchestrator_worker.builtin.sources import FileSource, find_file, name_file

MAX_BASE64_CHARACTERS = 8 * 1024 * 1024
"""6 MB of picture. Larger inputs are uploads, not payloads."""

MAX_SIDE_PIXELS = 10_000
MEMORY_BYTES = 2 * 1024**3
"""Address space, not use: the largest picture takes some 700 MB at its peak."""


class Fit(StrEnum):
    """How the picture fills the box of ``width`` and ``height``."""

    CONTAIN = "contain"
    """As large as fits into the box; its shape stays."""
    COVER = "cover"
    """Fills the box; what sticks out is cut off evenly."""
    EXACT = "exact"
    """Stretched to the box."""


class PictureFormat(StrEnum):
    """What a result may be encoded as."""

    JPEG = "JPEG"
    PNG = "PNG"
    WEBP = "WEBP"
    AVIF = "AVIF"


class Crop(Payload):
    """A part of the picture, in its own pixels, as a viewer shows it: upright."""

    left: int = Field(ge=0, description="Pixels from the left edge", examples=[100])
    top: int = Field(ge=0, description="Pixels from the upper edge", examples=[50])
    width: int = Field(ge=1, description="Pixels", examples=[800])
    height: int = Field(ge=1, description="Pixels", examples=[600])


class ResizeImage(FileSource):
    """Resize, crop and convert a picture. With no field at all: a sample, 640 pixels wide.

    The picture is a JPEG, PNG, WebP, AVIF or GIF file of up to 50 million pixels, named by
    `file_id`, by `source_url`, or carried in `image`. Of an animation the first frame is taken.
    The result is upright, in sRGB, and has no metadata.
    """

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"file_id": 7, "width": 800, "format": "WEBP"}, {}]}
    )

    image: str | None = Field(
        default=None,
        max_length=MAX_BASE64_CHARACTERS,
        description="Instead of `file_id`: base64 of the file, up to 6 MB of it",
        json_schema_extra={"contentEncoding": "base64"},
    )
    crop: Crop | None = Field(
        default=None, description="Cut this out first; `width` and `height` are of what remains"
    )
    width: int | None = Field(
        default=None,
        ge=1,
        le=MAX_SIDE_PIXELS,
        description="Pixels; follows the height if absent",
        examples=[800],
    )
    height: int | None = Field(
        default=None, ge=1, le=MAX_SIDE_PIXELS, description="Pixels; follows the width if absent"
    )
    fit: Fit = Field(
        default=Fit.CONTAIN,
        description=(
            "How the picture fills a box of both: `contain` keeps all of it, `cover` cuts off what"
            " sticks out, `exact` stretches"
        ),
    )
    format: PictureFormat | None = Field(
        default=None,
        description="Of the result; the input's own, if it is one of these",
        examples=["WEBP"],
    )
    quality: int = Field(default=85, ge=1, le=100, description="Of JPEG, WebP and AVIF")

    @model_validator(mode="after")
    def _carry_or_name(self) -> Self:
        if self.image is not None and self.is_given:
            raise ValueError("give image, file_id or source_url, only one of them")
        return self


def resize_image(payload: ResizeImage, context: TaskContext) -> ResultFile:
    """Resize, crop and convert a picture; strip its metadata."""
    from orchestrator_worker.builtin import pictures  # noqa: PLC0415 - Pillow only in children

    return pictures.resize(payload, find_file(context))


def register(handlers: HandlerGroup) -> None:
    """Offer both of the original service's names."""
    handlers.register(
        "IMAGE_RESIZE",
        "resize_image",
        payload=ResizeImage,
        timeout_seconds=60,
        memory_bytes=MEMORY_BYTES,
        inputs=name_file,
    )(resize_image)
