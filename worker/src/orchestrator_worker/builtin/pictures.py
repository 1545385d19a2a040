"""Resize a picture that a stranger sent.

Only four decoders are let near it, its header is judged before its pixels
are, and nothing of it but pixels reaches the result.

Before: ``images`` has a validated payload, in a child process with a memory limit.
After: an encoded file without metadata.
"""

import base64
import binascii
import contextlib
import functools
import io
import struct
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import (
    AvifImagePlugin,
    ExifTags,
    Image,
    ImageCms,
    ImageDraw,
    ImageOps,
    UnidentifiedImageError,
    WebPImagePlugin,
)

from orchestrator_core.attempts import ResultFile
from orchestrator_core.handlers import GiveUpError
from orchestrator_core.tasks import ErrorCode
from orchestrator_worker.builtin.images import Crop, Fit, PictureFormat, ResizeImage

MAX_PIXELS = 50_000_000
"""As many as the largest consumer cameras take; 200 MB in memory with transparency."""

MAX_FILE_BYTES = 100 * 1024 * 1024
"""A picture of so many pixels is smaller in every format but a wasteful one."""

INPUT_FORMATS = ["JPEG", "PNG", "WEBP", "AVIF", "GIF"]
SAMPLE_SIZE = (1280, 960)
SAMPLE_WIDTH = 640
EXTENSIONS = {
    PictureFormat.JPEG: "jpg",
    PictureFormat.PNG: "png",
    PictureFormat.WEBP: "webp",
    PictureFormat.AVIF: "avif",
}

_ON_ITS_SIDE = frozenset({5, 6, 7, 8})
"""Orientations by which a viewer turns a picture by a quarter."""

_BROKEN = (OSError, SyntaxError, ValueError, EOFError, struct.error, IndexError, KeyError)
"""What Pillow's decoders raise for files that are damaged or made to hurt."""

Size = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A picture as it was decoded: upright, in RGB or RGBA, perhaps smaller than it is."""

    picture: Image.Image
    size: Size
    """Its own."""
    format: PictureFormat
    """Of a result for which none was asked."""


# Load the decoders now, once in the fork server, rather than with each child's first picture.
Image.preinit()
_PRELOADED = (WebPImagePlugin, AvifImagePlugin)


def resize(payload: ResizeImage, file: Path | None = None) -> ResultFile:
    """Do what the payload asks for.

    Args:
        payload: says what, and may carry the picture.
        file: the picture otherwise; None and no picture carried: a sample.

    Raises:
        GiveUpError: the picture can't be read, or the result would be too large.
    """
    width = payload.width
    if file is not None:
        source = _decoded(_content_of(file), payload)
    elif payload.image is not None:
        source = _decoded(_unpacked(payload.image), payload)
    else:
        source = _sample()
        if width is None and payload.height is None:
            width = SAMPLE_WIDTH
    picture, size = source.picture, source.size
    if payload.crop is not None:
        picture = _cropped(picture, payload.crop)
        size = picture.size
    box = box_for(size, width=width, height=payload.height, fit=payload.fit)
    if payload.fit is Fit.COVER:
        picture = ImageOps.fit(picture, box, Image.Resampling.LANCZOS)
    elif picture.size != box:
        picture = picture.resize(box, Image.Resampling.LANCZOS, reducing_gap=3.0)
    wanted = payload.format or source.format
    return ResultFile(
        content=_encoded(picture, wanted, quality=payload.quality),
        content_type=f"image/{wanted.lower()}",
        file_name=f"image.{EXTENSIONS[wanted]}",
    )


def box_for(size: Size, *, width: int | None, height: int | None, fit: Fit) -> Size:
    """Return the result's size in pixels.

    Raises:
        GiveUpError: it would have more than 50 million pixels.
    """
    if width is not None and height is not None and fit is not Fit.CONTAIN:
        box = (width, height)
    else:
        scales = [
            wanted / own
            for wanted, own in zip((width, height), size, strict=True)
            if wanted is not None
        ]
        scale = min(scales, default=1.0)
        box = (max(1, round(size[0] * scale)), max(1, round(size[1] * scale)))
    if box[0] * box[1] > MAX_PIXELS:
        raise GiveUpError(
            f"the result would have {box[0]} x {box[1]} pixels; at most"
            f" {MAX_PIXELS // 1_000_000} million are allowed: ask for a smaller width or height",
            code=ErrorCode.INVALID_PAYLOAD,
        )
    return box


def _unpacked(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise GiveUpError(
            f"the field image is not valid base64: {error}", code=ErrorCode.INVALID_PAYLOAD
        ) from error


def _content_of(file: Path) -> bytes:
    if file.stat().st_size > MAX_FILE_BYTES:
        raise _unusable(f"has more than {MAX_FILE_BYTES >> 20} MB")
    return file.read_bytes()


def _unusable(why: str) -> GiveUpError:
    return GiveUpError(f"the image {why}", code=ErrorCode.INVALID_INPUT)


def _decoded(content: bytes, payload: ResizeImage) -> Source:
    with _refusing_bombs():
        try:
            with Image.open(io.BytesIO(content), formats=INPUT_FORMATS) as opened:
                size = _upright_size(opened)
                if payload.crop is None:
                    _decode_no_more_than_needed(opened, payload)
                opened.load()
                own_format = _format_for(opened)
                return Source(picture=_upright_srgb(opened), size=size, format=own_format)
        except UnidentifiedImageError as error:
            raise _unusable("is not a JPEG, PNG, WebP, AVIF or GIF file") from error
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise _unusable(
                f"has too many pixels; at most {MAX_PIXELS // 1_000_000} million are allowed"
            ) from error
        except _BROKEN as error:
            raise _unusable(f"is damaged: {error}") from error


def _upright_size(opened: Image.Image) -> Size:
    is_on_its_side = opened.getexif().get(ExifTags.Base.Orientation, 1) in _ON_ITS_SIDE
    return (opened.height, opened.width) if is_on_its_side else opened.size


def _decode_no_more_than_needed(opened: Image.Image, payload: ResizeImage) -> None:
    """Let the JPEG decoder halve while it decodes: a quarter of the memory, or less.

    Twice the size wanted is left, which resampling makes sharp. It may lie on its side still.
    """
    wanted = [each for each in (payload.width, payload.height) if each is not None]
    if wanted:
        side = 2 * max(wanted)
        opened.draft(None, (side, side))


def _cropped(picture: Image.Image, crop: Crop) -> Image.Image:
    right, bottom = crop.left + crop.width, crop.top + crop.height
    if right > picture.width or bottom > picture.height:
        raise GiveUpError(
            f"the crop reaches to {right} x {bottom}, beyond the picture's {picture.width} x"
            f" {picture.height} pixels",
            code=ErrorCode.INVALID_PAYLOAD,
        )
    return picture.crop((crop.left, crop.top, right, bottom))


@contextlib.contextmanager
def _refusing_bombs() -> Iterator[None]:
    Image.MAX_IMAGE_PIXELS = MAX_PIXELS
    with warnings.catch_warnings():
        # Odd metadata is no news; a suspicious size is.
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def _format_for(opened: Image.Image) -> PictureFormat:
    """Return the format of a result for which none was asked."""
    if opened.format in set(PictureFormat):
        return PictureFormat(opened.format)
    return PictureFormat.PNG if opened.has_transparency_data else PictureFormat.JPEG


def _upright_srgb(opened: Image.Image) -> Image.Image:
    """Return pixels only: turned as the camera was held, in RGB or RGBA, in sRGB's colours."""
    # In place and without needless copies: each of a large picture takes 200 MB.
    ImageOps.exif_transpose(opened, in_place=True)
    picture: Image.Image = opened
    profile = picture.info.get("icc_profile")
    mode = "RGBA" if picture.has_transparency_data else "RGB"
    if picture.mode.startswith("I;16"):
        # Pillow would clip 16-bit grey at 255.
        picture = picture.point(lambda level: level / 256).convert("L")
    if profile and picture.mode in ("RGB", "CMYK"):
        picture = _in_srgb(picture, profile)
    plain = picture if picture.mode == mode else picture.convert(mode)
    plain.info = {}
    return plain


def _in_srgb(picture: Image.Image, profile: bytes) -> Image.Image:
    """Translate colours, because the profile does not go into the result."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        target = ImageCms.createProfile("sRGB")
        translated = ImageCms.profileToProfile(picture, source, target, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError):
        # A broken profile says nothing about the colours; take them as they are.
        return picture
    return translated or picture


def _encoded(picture: Image.Image, wanted: PictureFormat, *, quality: int) -> bytes:
    output = io.BytesIO()
    if wanted is PictureFormat.JPEG:
        _without_transparency(picture).save(output, "JPEG", quality=quality, optimize=True)
    elif wanted is PictureFormat.WEBP:
        picture.save(output, "WEBP", quality=quality)
    elif wanted is PictureFormat.AVIF:
        # One thread: the worker gives each slot its share of the processors. Seven megapixels
        # take 17 s at the encoder's own speed of 6.
        picture.save(output, "AVIF", quality=quality, speed=9, max_threads=1)
    else:
        picture.save(output, "PNG")
    return output.getvalue()


def _without_transparency(picture: Image.Image) -> Image.Image:
    if picture.mode == "RGB":
        return picture
    white = Image.new("RGB", picture.size, "white")
    white.paste(picture, mask=picture.getchannel("A"))
    return white


@functools.cache
def _sample() -> Source:
    """Draw a picture: a sky, a sun, two hills."""
    width, height = SAMPLE_SIZE
    sky = Image.linear_gradient("L").resize(SAMPLE_SIZE)
    picture = Image.merge(
        "RGB", (sky, sky.point(lambda level: 120 + level // 2), sky.point(lambda _: 235))
    )
    pen = ImageDraw.Draw(picture)
    pen.ellipse((width * 0.7, height * 0.1, width * 0.85, height * 0.3), fill="#ffe08a")
    pen.ellipse((-width * 0.3, height * 0.65, width * 0.7, height * 1.5), fill="#3d7a4f")
    pen.ellipse((width * 0.3, height * 0.75, width * 1.3, height * 1.6), fill="#2c5d3f")
    return Source(picture=picture, size=SAMPLE_SIZE, format=PictureFormat.JPEG)
