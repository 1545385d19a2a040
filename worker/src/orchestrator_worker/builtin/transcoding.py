"""Make another video of a video, packet by packet.

Before: ``videos`` has a payload and a file.
After: the result lies in the attempt's folder.
"""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from orchestrator_core.attempts import ResultOnDisk
from orchestrator_core.handlers import TaskContext
from orchestrator_worker.builtin.results import require_size
from orchestrator_worker.builtin.video_files import (
    MAX_BROKEN_PACKETS,
    Turner,
    Video,
    decode,
    explaining,
    fitted_size,
    opened_video,
    unusable,
)
from orchestrator_worker.builtin.videos import MAX_SECONDS, ProcessVideo, VideoFormat

TICKS = 90_000
"""A second of the result's clock: every usual frame rate divides it."""
SAMPLE_RATE = 48_000
USUAL_RATE = Fraction(25)
MAX_RATE = 120
MAX_HELD_PACKETS = 10_000
"""Of sound, until there is a picture; some three minutes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a format is made."""

    video_codec: str
    audio_codec: str
    media_type: str
    best: int
    worst: int
    """Constant rate factors of the qualities 100 and 1."""
    video_options: dict[str, str]
    container_options: dict[str, str]


RECIPES = {
    VideoFormat.MP4: Recipe(
        video_codec="libx264",
        audio_codec="aac",
        media_type="video/mp4",
        best=15,
        worst=40,
        video_options={"preset": "veryfast"},
        # So that a browser can begin before it has all of it.
        container_options={"movflags": "+faststart"},
    ),
    VideoFormat.WEBM: Recipe(
        video_codec="libvpx-vp9",
        audio_codec="libopus",
        media_type="video/webm",
        best=20,
        worst=55,
        video_options={"deadline": "realtime", "cpu-used": "6", "b": "0"},
        container_options={},
    ),
}


def transcode(payload: ProcessVideo, context: TaskContext, path: Path) -> ResultOnDisk:
    """Make the video.

    Raises:
        GiveUpError: the file can't be used, or the result is too large.
    """
    target = context.folder / "result"
    recipe = RECIPES[payload.format]
    with (
        opened_video(path) as video,
        av.open(
            str(target), mode="w", format=payload.format.value, options=recipe.container_options
        ) as output,
        explaining(),
    ):
        _Work(payload, context, video, output, recipe).run()
    _require_size(target, context)
    return ResultOnDisk(
        path=target, content_type=recipe.media_type, file_name=f"video.{payload.format}"
    )


class _Work:
    """One transcoding under way."""

    def __init__(
        self,
        payload: ProcessVideo,
        context: TaskContext,
        video: Video,
        output: OutputContainer,
        recipe: Recipe,
    ) -> None:
        self._payload, self._context = payload, context
        self._video, self._output, self._recipe = video, output, recipe
        self._start = payload.start_seconds
        self._end = min(payload.end_seconds or MAX_SECONDS, video.seconds or MAX_SECONDS)
        self._turner = Turner()
        self._pictures: VideoStream | None = None
        self._size = (0, 0)
        self._last_pts = -1
        self._frames = 0
        self._sounds = None if payload.without_audio else self._add_sound()
        self._samples = 0
        self._held: list[Any] = []

    def run(self) -> None:
        """Read, convert and write until the end."""
        source = self._video.container
        if self._start:
            self._video.seek(self._start)
        broken = 0
        streams = [self._video.stream, *([self._sounds.source] if self._sounds else [])]
        for packet in source.demux(streams):
            frames = decode(packet)
            if not frames and packet.is_corrupt:
                broken += 1
            if broken > MAX_BROKEN_PACKETS:
                raise unusable("is damaged: too many of its packets are broken")
            if not all(map(self._take, frames)):
                break
        if self._pictures is None:
            raise unusable(
                "has no frame that could be decoded"
                if not self._start
                else "has no frame after start_seconds"
            )
        if self._sounds:
            self._write_sound(None)
            self._mux_sound(self._sounds.target.encode(None))
        self._output.mux(self._pictures.encode(None))
        self._context.report(1.0, f"{self._frames} frames")

    def _take(self, frame: VideoFrame | AudioFrame) -> bool:
        """Convert a frame; return False when the wanted end is reached."""
        time = self._video.time_of(frame)
        seconds = self._start if time is None else time
        if seconds >= self._end and isinstance(frame, VideoFrame):
            return False
        if seconds < self._start or seconds >= self._end:
            return True
        if isinstance(frame, AudioFrame):
            self._write_sound(frame)
        else:
            self._write_picture(frame, seconds - self._start)
            _require_size(Path(self._output.name), self._context)
            length = max(self._end - self._start, 0.001)
            self._context.report(
                min((seconds - self._start) / length, 0.99), f"{self._frames} frames"
            )
        return True

    def _write_picture(self, frame: VideoFrame, seconds: float) -> None:
        pts = round(seconds * TICKS)
        if pts <= self._last_pts:
            return
        upright = self._turner.upright(frame)
        if self._pictures is None:
            self._size = fitted_size(
                (upright.width, upright.height),
                width=self._payload.width,
                height=self._payload.height,
            )
            self._pictures = self._add_pictures()
        picture = upright.reformat(*self._size, format="yuv420p")
        picture.pts, picture.time_base = pts, Fraction(1, TICKS)
        # The encoder decides by itself which frames can stand alone.
        picture.pict_type = 0
        self._last_pts = pts
        self._frames += 1
        self._output.mux(self._pictures.encode(picture))

    def _write_sound(self, frame: AudioFrame | None) -> None:
        if self._sounds is None:
            return
        for each in self._sounds.resampler.resample(frame):
            each.pts, each.time_base = self._samples, Fraction(1, SAMPLE_RATE)
            self._samples += each.samples
            self._mux_sound(self._sounds.target.encode(each))

    def _mux_sound(self, packets: list[Any]) -> None:
        # Both streams must be known before the first packet is written; the pictures' are when
        # the first one has been decoded.
        self._held += packets
        if len(self._held) > MAX_HELD_PACKETS:
            raise unusable("has no picture for its first minutes")
        if self._pictures is not None:
            self._output.mux(self._held)
            self._held = []

    def _add_pictures(self) -> VideoStream:
        rate = self._video.stream.average_rate or USUAL_RATE
        recipe = self._recipe
        crf = round(recipe.worst - (recipe.worst - recipe.best) * (self._payload.quality - 1) / 99)
        stream: Any = self._output.add_stream(
            recipe.video_codec,
            rate=min(max(rate, Fraction(1)), Fraction(MAX_RATE)),
            options={**recipe.video_options, "crf": str(crf)},
        )
        stream.width, stream.height = self._size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, TICKS)
        stream.codec_context.thread_count = 1
        picture_stream: VideoStream = stream
        return picture_stream

    def _add_sound(self) -> "_Sounds | None":
        streams = self._video.container.streams.audio
        if not streams or not streams[0].codec_context.sample_rate:
            return None
        target: Any = self._output.add_stream(
            self._recipe.audio_codec, rate=SAMPLE_RATE, layout="stereo"
        )
        context = target.codec_context
        context.open()
        resampler = AudioResampler(
            format=context.format,
            layout="stereo",
            rate=SAMPLE_RATE,
            frame_size=context.frame_size or None,
        )
        return _Sounds(source=streams[0], target=target, resampler=resampler)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sounds:
    """The way of the sound."""

    source: AudioStream
    target: AudioStream
    resampler: AudioResampler


def _require_size(target: Path, context: TaskContext) -> None:
    require_size(
        target,
        context.max_result_bytes,
        what="the video",
        advice="a smaller width, less quality or a shorter part",
    )
