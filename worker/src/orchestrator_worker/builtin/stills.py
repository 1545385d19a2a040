"""Take pictures of a video.

Before: ``videos`` has a payload and a file.
After: one picture is the result.
"""

import io
from pathlib import Path
from typing import Any

from av.video.frame import VideoFrame
from PIL import Image

from orchestrator_core.attempts import ResultFile
from orchestrator_core.handlers import TaskContext
from orchestrator_worker.builtin.video_files import (
    Turner,
    Video,
    decode,
    fitted_size,
    opened_video,
    unusable,
)
from orchestrator_worker.builtin.videos import (
    DEFAULT_SHEET_WIDTH,
    DEFAULT_STILL_WIDTH,
    ProcessVideo,
    StillFormat,
)

GAP = 4
BACKGROUND = "#111827"
TENTH = 0.1
MAX_PACKETS = 5_000
"""Looked at for one frame."""


def take_thumbnail(payload: ProcessVideo, context: TaskContext, path: Path) -> ResultFile:
    """Take one picture.

    Raises:
        GiveUpError: the file can't be used, or has no frame there.
    """
    with opened_video(path) as video:
        at = payload.at_seconds
        if at is None:
            at = (video.seconds or 0.0) * TENTH
        frame = _frame_at(video, at)
        context.report(0.8, "drawing")
        width = payload.width
        if width is None and payload.height is None:
            width = DEFAULT_STILL_WIDTH
        picture = _to_picture(frame, width=width, height=payload.height)
    return _encoded(picture, payload.still_format, name="thumbnail")


def draw_contact_sheet(payload: ProcessVideo, context: TaskContext, path: Path) -> ResultFile:
    """Draw many pictures on one, from left to right and from top to bottom.

    Raises:
        GiveUpError: the file can't be used, or does not say how long it is.
    """
    count = payload.columns * payload.rows
    width = ((payload.width or DEFAULT_SHEET_WIDTH) - GAP) // payload.columns - GAP
    with opened_video(path) as video:
        if not video.seconds:
            raise unusable("does not say how long it is, so it can't be divided")
        pictures = []
        for number in range(count):
            frame = _frame_at(video, video.seconds * (number + 0.5) / count)
            pictures.append(_to_picture(frame, width=max(width, 16), height=None))
            context.report((number + 1) / (count + 1), f"{number + 1} of {count} pictures")
    return _encoded(_sheet(pictures, payload.columns), payload.still_format, name="contact_sheet")


def _frame_at(video: Video, seconds: float) -> VideoFrame:
    """Return the first frame at or after a moment, upright; past the end, the last one."""
    video.seek(seconds)
    last: VideoFrame | None = None
    for number, packet in enumerate(video.container.demux(video.stream)):
        for frame in decode(packet):
            last = frame
            time = video.time_of(frame)
            if time is None or time >= seconds:
                return Turner().upright(frame)
        if number > MAX_PACKETS:
            break
    if last is None:
        raise unusable("has no frame that could be decoded")
    return Turner().upright(last)


def _to_picture(frame: VideoFrame, *, width: int | None, height: int | None) -> Image.Image:
    size = fitted_size((frame.width, frame.height), width=width, height=height)
    plain: Any = frame.reformat(*size, format="rgb24")
    picture: Image.Image = plain.to_image()
    return picture


def _sheet(pictures: list[Image.Image], columns: int) -> Image.Image:
    width, height = pictures[0].size
    rows = -(-len(pictures) // columns)
    size = (columns * (width + GAP) + GAP, rows * (height + GAP) + GAP)
    sheet = Image.new("RGB", size, BACKGROUND)
    for number, picture in enumerate(pictures):
        row, column = divmod(number, columns)
        sheet.paste(picture, (GAP + column * (width + GAP), GAP + row * (height + GAP)))
    return sheet


def _encoded(picture: Image.Image, kind: StillFormat, *, name: str) -> ResultFile:
    output = io.BytesIO()
    picture.save(output, kind, **({"quality": 88} if kind is StillFormat.JPEG else {}))
    extension = "jpg" if kind is StillFormat.JPEG else "png"
    return ResultFile(
        content=output.getvalue(),
        content_type=f"image/{kind.lower()}",
        file_name=f"{name}.{extension}",
    )
