"""``IMAGE_RESIZE`` and ``resize_image``: what a client may ask for.

Before: the API validated the payload against this model's JSON Schema.
After: ``pictures`` does it, in a child process.
"""

from enum import StrEnum

from pydantic import Field

from orchestrator_core.attempts import ResultFile
from orchestrator_core.handlers import HandlerGroup, Payload, TaskContext

MAX_BASE64_CHARACTERS = 8 * 1024 * 1024
"""6 MB of picture. Larger inputs are uploads, not payloads."""

MAX_SIDE_PIXELS = 10_000
MEMORY_BYTES = 2 * 1024**3
"""Address space, not use: a 50-megapixel picture with transparency takes 200 MB, and up to four
copies of it live at once."""


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


class ResizeImage(Payload):
    """With no field at all: a generated sample, 640 pixels wide."""

    image: str | None = Field(
        default=None,
        max_length=MAX_BASE64_CHARACTERS,
        description="Base64 of a JPEG, PNG, WebP or GIF file; a generated sample if absent",
        json_schema_extra={"contentEncoding": "base64"},
    )
    width: int | None = Field(
        default=None, ge=1, le=MAX_SIDE_PIXELS, description="Pixels; follows the height if absent"
    )
    height: int | None = Field(
        default=None, ge=1, le=MAX_SIDE_PIXELS, description="Pixels; follows the width if absent"
    )
    fit: Fit = Field(default=Fit.CONTAIN, description="How the picture fills width and height")
    format: PictureFormat | None = Field(
        default=None, description="Of the result; the input's own, if it is one of these"
    )
    quality: int = Field(default=85, ge=1, le=100, description="Of JPEG and WebP")


def resize_image(payload: ResizeImage, _: TaskContext) -> ResultFile:
    """Resize, crop and convert a picture; strip its metadata."""
    from orchestrator_worker.builtin import pictures  # noqa: PLC0415 - Pillow only in children

    return pictures.resize(payload)


def register(handlers: HandlerGroup) -> None:
    """Offer both of the original service's names."""
    handlers.register(
        "IMAGE_RESIZE",
        "resize_image",
        payload=ResizeImage,
        timeout_seconds=60,
        memory_bytes=MEMORY_BYTES,
    )(resize_image)
