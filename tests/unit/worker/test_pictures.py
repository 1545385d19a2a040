"""Pictures are resized, and hostile ones refused with a sentence."""

import base64
import io
import struct
import zlib
from pathlib import Path

import av
import numpy as np
import pytest
import skimage.data
from PIL import Image, ImageChops, ImageCms, ImageStat
from PIL.PngImagePlugin import PngInfo
from pydantic import ValidationError

from orchestrator_core.attempts import ResultFile
from orchestrator_core.handler_testing import Supplies, run_handler
from orchestrator_core.handlers import GiveUpError
from orchestrator_core.tasks import ErrorCode
from orchestrator_worker.builtin import handlers, pictures
from orchestrator_worker.builtin.images import Fit, ResizeImage
from orchestrator_worker.builtin.pictures import box_for, resize
from packaged import packaged

ORIENTATION, DESCRIPTION = 0x0112, 0x010E
SIZE = (400, 300)


def a_photo(size: tuple[int, int] = SIZE) -> Image.Image:
    """Left half red, right half blue, with soft gradients like a photograph's."""
    shade = Image.linear_gradient("L").resize(size).point(lambda level: level // 4)
    photo = Image.new("RGB", size, (200, 20, 20))
    photo.paste((20, 20, 200), (size[0] // 2, 0, *size))
    return ImageChops.add(photo, Image.merge("RGB", (shade, shade, shade)))


def encoded(picture: Image.Image, file_format: str = "JPEG", **options: object) -> str:
    output = io.BytesIO()
    picture.save(output, file_format, **options)
    return base64.b64encode(output.getvalue()).decode("ascii")


def opened(result: ResultFile) -> Image.Image:
    picture = Image.open(io.BytesIO(result.content))
    picture.load()
    return picture


def resized(image: str | None, **fields: object) -> Image.Image:
    return opened(resize(ResizeImage(image=image, **fields)))


def colour(picture: Image.Image, x: float, y: float) -> tuple[int, ...]:
    point = (int(picture.width * x), int(picture.height * y))
    pixel = picture.convert("RGB").getpixel(point)
    assert isinstance(pixel, tuple)
    return tuple(int(level) for level in pixel)


def is_red(pixel: tuple[int, ...]) -> bool:
    return pixel[0] > 150 > pixel[2]


def is_blue(pixel: tuple[int, ...]) -> bool:
    return pixel[2] > 150 > pixel[0]


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_a_real_photograph_keeps_its_content(file_format: str) -> None:
    cup = Image.fromarray(skimage.data.coffee())  # type: ignore[no-untyped-call]

    small = resized(encoded(cup, file_format, quality=95), width=300, quality=95)

    expected = cup.resize((300, 200), Image.Resampling.LANCZOS)
    assert (small.size, small.format) == ((300, 200), file_format)
    assert max(ImageStat.Stat(ImageChops.difference(small, expected)).mean) < 4


def test_an_empty_payload_gives_a_sample_of_640_pixels_width() -> None:
    result = resize(ResizeImage())

    assert opened(result).size == (640, 480)
    assert (result.file_name, result.content_type) == ("image.jpg", "image/jpeg")


@pytest.mark.parametrize(
    ("fields", "size"),
    [
        ({}, (400, 300)),
        ({"width": 200}, (200, 150)),
        ({"height": 30}, (40, 30)),
        ({"width": 800}, (800, 600)),
        ({"width": 100, "height": 100}, (100, 75)),
        ({"width": 100, "height": 100, "fit": "cover"}, (100, 100)),
        ({"width": 100, "height": 100, "fit": "exact"}, (100, 100)),
        ({"width": 100, "fit": "cover"}, (100, 75)),
        ({"width": 1, "height": 10_000}, (1, 1)),
    ],
)
def test_the_box_is_filled_as_asked(fields: dict[str, object], size: tuple[int, int]) -> None:
    assert resized(encoded(a_photo()), **fields).size == size


def test_cover_cuts_evenly_and_exact_stretches() -> None:
    wide = encoded(a_photo((400, 100)), "PNG")

    cover = resized(wide, width=100, height=100, fit="cover")
    exact = resized(wide, width=100, height=100, fit="exact")

    for picture in (cover, exact):
        assert is_red(colour(picture, 0.25, 0.5))
        assert is_blue(colour(picture, 0.75, 0.5))


@pytest.mark.parametrize(
    ("wanted", "name", "mime"),
    [
        ("JPEG", "image.jpg", "image/jpeg"),
        ("PNG", "image.png", "image/png"),
        ("WEBP", "image.webp", "image/webp"),
        ("AVIF", "image.avif", "image/avif"),
    ],
)
def test_a_picture_is_converted_to_the_format_asked_for(wanted: str, name: str, mime: str) -> None:
    result = resize(ResizeImage(image=encoded(a_photo()), format=wanted))

    assert opened(result).format == wanted
    assert (result.file_name, result.content_type) == (name, mime)


@pytest.mark.parametrize(
    ("given", "result"), [("PNG", "PNG"), ("WEBP", "WEBP"), ("JPEG", "JPEG"), ("GIF", "JPEG")]
)
def test_a_picture_keeps_its_own_format_by_default(given: str, result: str) -> None:
    assert resized(encoded(a_photo(), given)).format == result


def test_less_quality_gives_a_smaller_file() -> None:
    image = encoded(a_photo())

    low, high = (resize(ResizeImage(image=image, quality=each)) for each in (10, 95))

    assert len(low.content) < len(high.content)


def test_a_photo_taken_upright_comes_out_upright_and_without_its_metadata() -> None:
    photo = a_photo()
    exif = Image.Exif()
    exif[ORIENTATION] = 6  # the camera was turned; viewers turn the picture by 90 degrees
    exif[DESCRIPTION] = "taken at home"

    turned = resized(encoded(photo, exif=exif, comment="by me"))

    assert turned.size == (300, 400)
    assert is_red(colour(turned, 0.5, 0.1))
    assert is_blue(colour(turned, 0.5, 0.9))
    assert dict(turned.getexif()) == {}
    assert "comment" not in turned.info


@pytest.mark.parametrize("wanted", ["JPEG", "PNG", "WEBP"])
def test_no_text_of_the_input_is_in_any_result(wanted: str) -> None:
    note = PngInfo()
    note.add_text("Author", "somebody in particular")
    image = encoded(a_photo(), "PNG", pnginfo=note, exif=b"Exif\x00\x00MM\x00*\x00\x00\x00\x08")

    result = resize(ResizeImage(image=image, format=wanted))

    assert b"somebody" not in result.content
    assert opened(result).info.get("Author") is None


def test_a_colour_profile_is_applied_before_it_is_stripped() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()

    plain = resized(encoded(a_photo(), "PNG", icc_profile=profile))

    assert "icc_profile" not in plain.info
    assert is_red(colour(plain, 0.1, 0.5))


def test_a_broken_colour_profile_is_ignored() -> None:
    assert resized(encoded(a_photo(), "PNG", icc_profile=b"nonsense")).size == SIZE


def test_transparency_stays_where_the_format_has_it_and_is_white_elsewhere() -> None:
    glass = encoded(Image.new("RGBA", SIZE, (255, 0, 0, 0)), "PNG")

    kept = resized(glass, format="WEBP")
    flat = resized(glass, format="JPEG")

    assert kept.getchannel("A").getextrema() == (0, 0)
    assert colour(flat, 0.5, 0.5) == (255, 255, 255)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_every_kind_of_png_is_read(mode: str) -> None:
    grey = Image.new("I;16", SIZE, 32768) if mode == "I;16" else a_photo().convert(mode)

    picture = resized(encoded(grey, "PNG"), width=40)

    assert picture.size == (40, 30)
    if mode == "I;16":
        assert colour(picture, 0.5, 0.5) == (128, 128, 128)


def test_a_print_in_cmyk_is_read() -> None:
    assert is_red(colour(resized(encoded(a_photo().convert("CMYK"))), 0.1, 0.5))


@pytest.mark.parametrize(
    ("image", "sentence"),
    [
        ("not base64!", "not valid base64"),
        (base64.b64encode(b"no picture").decode(), "not a JPEG, PNG, WebP, AVIF or GIF file"),
        ("", "not a JPEG, PNG, WebP, AVIF or GIF file"),
    ],
)
def test_what_is_no_picture_is_refused_with_a_sentence(image: str, sentence: str) -> None:
    with pytest.raises(GiveUpError, match=sentence) as raised:
        resize(ResizeImage(image=image))
    assert raised.value.code in (ErrorCode.INVALID_INPUT, ErrorCode.INVALID_PAYLOAD)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "AVIF", "GIF"])
def test_a_picture_that_ends_early_is_refused(file_format: str) -> None:
    whole = base64.b64decode(encoded(a_photo(), file_format))
    half = base64.b64encode(whole[: len(whole) // 2]).decode("ascii")

    with pytest.raises(GiveUpError, match=r"the image is damaged|not a JPEG") as raised:
        resize(ResizeImage(image=half))
    assert raised.value.code is ErrorCode.INVALID_INPUT


@pytest.mark.parametrize("file_format", ["TIFF", "BMP", "PPM", "ICO"])
def test_decoders_that_nobody_needs_are_not_reachable(file_format: str) -> None:
    with pytest.raises(GiveUpError, match="not a JPEG, PNG, WebP, AVIF or GIF file"):
        resize(ResizeImage(image=encoded(a_photo((64, 64)), file_format)))


def a_png_header(width: int, height: int) -> str:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"\x00" * 1_000_000)
    return base64.b64encode(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    ).decode("ascii")


@pytest.mark.parametrize("size", [(65_535, 65_535), (10_000, 5_001)])
def test_a_decompression_bomb_is_refused_by_its_header(size: tuple[int, int]) -> None:
    with pytest.raises(GiveUpError, match="too many pixels; at most 50 million"):
        resize(ResizeImage(image=a_png_header(*size)))


def test_a_result_with_too_many_pixels_is_refused() -> None:
    with pytest.raises(GiveUpError, match="10000 x 10000 pixels"):
        box_for((10, 10), width=10_000, height=10_000, fit=Fit.COVER)


RETINA = packaged("skimage", "data/retina.jpg")
"""A photograph of 1411 x 1411 pixels."""


def resized_file(path: Path, **fields: object) -> ResultFile:
    supplies = Supplies(files={7: path})
    return run_handler(
        [each for each in handlers if each.task_type == "IMAGE_RESIZE"],
        "IMAGE_RESIZE",
        {"file_id": 7, **fields},
        supplies=supplies,
    )


@pytest.mark.parametrize("wanted", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_an_uploaded_photograph_looks_the_same_to_another_decoder(wanted: str) -> None:
    result = resized_file(RETINA, width=353, format=wanted, quality=95)

    # FFmpeg's decoders share no code with those that wrote the file.
    with av.open(io.BytesIO(result.content), "r") as container:
        [seen] = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    with Image.open(RETINA) as photograph:
        expected = np.asarray(photograph.resize((353, 353), Image.Resampling.BOX))
    error = np.mean((seen.astype(float) - expected.astype(float)) ** 2)
    assert seen.shape == (353, 353, 3)
    assert 10 * np.log10(255**2 / error) > 28, "the signal is far above the noise"


def test_the_jpeg_decoder_does_no_more_than_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = []
    upright = pictures._upright_srgb  # noqa: SLF001 - where the decoded size shows

    def spy(opened: Image.Image) -> Image.Image:
        decoded.append(opened.size)
        return upright(opened)

    monkeypatch.setattr(pictures, "_upright_srgb", spy)
    results = [opened(resized_file(RETINA, **fields)).size for fields in (
        {"width": 100}, {"width": 100, "crop": {"left": 0, "top": 0, "width": 10, "height": 20}},
    )]  # fmt: skip

    assert decoded == [(353, 353), (1411, 1411)]
    assert results == [(100, 100), (100, 200)]


def test_a_picture_on_its_side_keeps_its_shape_when_it_is_decoded_smaller() -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6

    turned = resized(encoded(a_photo((1601, 801)), exif=exif), width=100)

    assert turned.size == (100, 200)


def test_a_crop_is_cut_out_of_the_upright_picture() -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    photo = encoded(a_photo(), exif=exif)
    upper_left = {"left": 0, "top": 0, "width": 300, "height": 100}

    part = resized(photo, crop=upper_left, width=30)

    assert part.size == (30, 10)
    assert is_red(colour(part, 0.5, 0.5))


def test_a_crop_beyond_the_picture_is_refused() -> None:
    crop = {"left": 390, "top": 0, "width": 20, "height": 10}

    with pytest.raises(
        GiveUpError, match="reaches to 410 x 10, beyond the picture's 400 x 300"
    ) as raised:
        resize(ResizeImage(image=encoded(a_photo()), crop=crop))

    assert raised.value.code is ErrorCode.INVALID_PAYLOAD


def test_of_an_animation_the_first_frame_is_taken() -> None:
    dance = packaged("skimage", "data/no_time_for_that_tiny.gif")

    result = resized_file(dance, format="PNG")

    with Image.open(dance) as animation:
        expected = animation.convert("RGB")
    assert ImageChops.difference(opened(result).convert("RGB"), expected).getbbox() is None


@pytest.mark.parametrize(
    "fields",
    [
        {"image": "", "file_id": 1},
        {"file_id": 1, "source_url": "https://example.com/a.png"},
        {"image": "", "source_url": "https://example.com/a.png"},
    ],
)
def test_a_picture_comes_from_one_place(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=r"only one of them|not both"):
        ResizeImage(**fields)


def test_hostile_files_end_with_a_sentence_and_nothing_else(tmp_path: Path) -> None:
    photograph = RETINA.read_bytes()
    hostile = {
        "empty": b"",
        "text": b"not a picture at all",
        "zip": b"PK\x03\x04" + bytes(100),
        "svg": b"<svg xmlns='http://www.w3.org/2000/svg' width='1' height='1'/>",
        "mp4": b"\x00\x00\x00\x18ftypmp42" + bytes(100),
        "bomb": base64.b64decode(a_png_header(60_000, 60_000)),
        "zeroes": bytes(1_000_000),
        **{f"cut at {n}": photograph[:n] for n in (2, 20, 200, 2_000, 20_000, 100_000)},
    }
    for name, content in hostile.items():
        path = tmp_path / "hostile"
        path.write_bytes(content)
        with pytest.raises(GiveUpError) as raised:
            resized_file(path, width=10)
        assert raised.value.code is ErrorCode.INVALID_INPUT, name
        assert str(raised.value).startswith("the image "), name
        assert str(tmp_path) not in str(raised.value), name


def test_what_follows_a_picture_does_not_reach_the_result(tmp_path: Path) -> None:
    polyglot = tmp_path / "picture.jpg"
    polyglot.write_bytes(RETINA.read_bytes() + b"<script>alert(1)</script>PK\x03\x04")

    assert b"<script>" not in resized_file(polyglot, width=100).content


def test_a_file_that_is_too_large_is_refused_unread(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(pictures, "MAX_FILE_BYTES", 1 << 20)
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate((1 << 20) + 1)

    with pytest.raises(GiveUpError, match="has more than 1 MB"):
        resized_file(path)
