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

from PIL import Image, ImageCms, ImageDraw, ImageOps, UnidentifiedImageError, WebPImagePlugin

from orchestrator_core.attempts import ResultFile
from orchestrator_core.handlers import GiveUpError
from orchestrator_worker.builtin.images import Fit, PictureFormat, ResizeImage

MAX_PIXELS = 50_000_000
"""As many as the largest consumer cameras take; 200 MB in memory with transparency."""

INPUT_FORMATS = ["JPEG", "PNG", "WEBP", "GIF"]
SAMPLE_SIZE = (1280, 960)
SAMPLE_WIDTH = 640
EXTENSIONS = {PictureFormat.JPEG: "jpg", PictureFormat.PNG: "png", PictureFormat.WEBP: "webp"}

_BROKEN = (OSError, SyntaxError, ValueError, EOFError, struct.error, IndexError, KeyError)
"""What Pillow's decoders raise for files that are damaged or made to hurt."""

Size = tuple[int, int]

# Load the decoders now, once in the fork server, rather than with each child's first picture.
Image.preinit()
_PRELOADED = WebPImagePlugin


def resize(payload: ResizeImage) -> ResultFile:
    """Do what the payload asks for.

    Raises:
        GiveUpError: the picture can't be read, or the result would be too large.
    """
    picture, own_format = _sample() if payload.image is None else _decoded(payload.image)
    width = payload.width
    if payload.image is None and width is None and payload.height is None:
        width = SAMPLE_WIDTH
    box = box_for(picture.size, width=width, height=payload.height, fit=payload.fit)
    if payload.fit is Fit.COVER:
        picture = ImageOps.fit(picture, box, Image.Resampling.LANCZOS)
    elif picture.size != box:
        picture = picture.resize(box, Image.Resampling.LANCZOS, reducing_gap=3.0)
    wanted = payload.format or own_format
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
            f" {MAX_PIXELS // 1_000_000} million are allowed: ask for a smaller width or height"
        )
    return box


def _decoded(text: str) -> tuple[Image.Image, PictureFormat]:
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise GiveUpError(f"the field image is not valid base64: {error}") from error
    with _refusing_bombs():
        try:
            with Image.open(io.BytesIO(content), formats=INPUT_FORMATS) as opened:
                opened.load()
                own_format = _format_for(opened)
                return _upright_srgb(opened), own_format
        except UnidentifiedImageError as error:
            raise GiveUpError("the image is not a JPEG, PNG, WebP or GIF file") from error
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise GiveUpError(
                f"the image has too many pixels; at most {MAX_PIXELS // 1_000_000} million"
                " are allowed"
            ) from error
        except _BROKEN as error:
            raise GiveUpError(f"the image is damaged: {error}") from error


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
    picture = ImageOps.exif_transpose(opened)
    profile = picture.info.get("icc_profile")
    mode = "RGBA" if picture.has_transparency_data else "RGB"
    if picture.mode.startswith("I;16"):
        # Pillow would clip 16-bit grey at 255.
        picture = picture.point(lambda level: level / 256).convert("L")
    if profile and picture.mode in ("RGB", "CMYK"):
        picture = _in_srgb(picture, profile)
    plain = picture.convert(mode)
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
def _sample() -> tuple[Image.Image, PictureFormat]:
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
    return picture, PictureFormat.JPEG
