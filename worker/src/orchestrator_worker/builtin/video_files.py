"""Open a video that a stranger sent.

A file is recognised by its first bytes and opened with the one demuxer for it, so that no
playlist, script or image sequence is ever followed; and by the ``file`` protocol alone.
What it claims is judged before a frame is decoded.

Before: ``videos`` has the file.
After: ``transcoding``, ``stills`` and ``probing`` read its frames.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
from av.audio.frame import AudioFrame
from av.container import InputContainer
from av.filter import Graph
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from orchestrator_core.handlers import GiveUpError
from orchestrator_core.tasks import ErrorCode
from orchestrator_worker.builtin.videos import MAX_SECONDS, MAX_SIDE_PIXELS

HEAD_BYTES = 4096
MAX_STREAMS = 32
MAX_PIXELS = 3840 * 2160
MAX_BROKEN_PACKETS = 20
"""Cameras leave some at the start; more are no video."""
FULL_TURN = 360
TS_PACKET = 188
TURNS = {90: "transpose=cclock", 180: "hflip,vflip", 270: "transpose=clock"}
"""What makes a frame upright, by its own rotation in degrees."""

av.logging.set_level(av.logging.PANIC)


@dataclass(frozen=True, slots=True)
class Video:
    """An open file and its stream of pictures."""

    container: InputContainer
    stream: VideoStream

    @property
    def begin(self) -> float:
        """Return the time of its first frame: broadcasts seldom begin at zero."""
        return max((self.container.start_time or 0) / av.time_base, 0.0)

    def seek(self, seconds: float) -> None:
        """Go to the last frame that can stand alone before a moment, counted from the begin."""
        self.container.seek(int((seconds + self.begin) * av.time_base))

    def time_of(self, frame: VideoFrame | AudioFrame) -> float | None:
        """Return when a frame is shown or heard, counted from the begin."""
        return None if frame.time is None else frame.time - self.begin

    @property
    def seconds(self) -> float | None:
        """Return how long it is, if it says so."""
        if self.container.duration is not None:
            return self.container.duration / av.time_base
        if self.stream.duration is not None and self.stream.time_base is not None:
            return float(self.stream.duration * self.stream.time_base)
        return None


def recognise(head: bytes) -> str:
    """Return the demuxer for a file, by its first bytes.

    Raises:
        GiveUpError: there is none.
    """
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"free", b"wide", b"skip"):
        return "mov"
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        return "matroska"
    if head.startswith(b"RIFF") and head[8:12] == b"AVI ":
        return "avi"
    for magic, name in ((b"OggS", "ogg"), (b"FLV\x01", "flv"), (b"GIF8", "gif")):
        if head.startswith(magic):
            return name
    if head[:1] == b"\x47" and head[TS_PACKET : TS_PACKET + 1] == b"\x47":
        return "mpegts"
    raise unusable(
        "is not an MP4, QuickTime, WebM, Matroska, AVI, MPEG-TS, Ogg, FLV or GIF file"
        if head
        else "is empty"
    )


def unusable(why: str) -> GiveUpError:
    """Return the error for a video that can't be used."""
    return GiveUpError(f"the video {why}", code=ErrorCode.INVALID_INPUT)


@contextlib.contextmanager
def explaining() -> Iterator[None]:
    """Make the library's errors about the file the client's own."""
    try:
        yield
    except av.FFmpegError as error:
        if isinstance(error, MemoryError):
            raise
        # Its text names the worker's own path.
        raise unusable(f"is damaged ({error.strerror})") from error


@contextlib.contextmanager
def opened(path: Path) -> Iterator[InputContainer]:
    """Open a file of any kind that is known.

    Raises:
        GiveUpError: it is none of them, damaged, or has too many streams.
    """
    with path.open("rb") as file:
        kind = recognise(file.read(HEAD_BYTES))
    with explaining(), _open(path, kind) as container:
        if len(container.streams) > MAX_STREAMS:
            raise unusable(f"has {len(container.streams)} streams; at most {MAX_STREAMS} are read")
        yield container


def _open(path: Path, kind: str) -> InputContainer:
    options = {"protocol_whitelist": "file", "format_whitelist": kind}
    if kind == "mov":
        options["format_whitelist"] = "mov,mp4,m4a,3gp,3g2,mj2"
    if kind == "matroska":
        options["format_whitelist"] = "matroska,webm"
    return av.open(str(path), mode="r", format=kind, options=options, metadata_errors="replace")


@contextlib.contextmanager
def opened_video(path: Path) -> Iterator[Video]:
    """Open a file that has moving pictures.

    Raises:
        GiveUpError: it has none, or they are too large or too long.
    """
    with opened(path) as container:
        pictures = [stream for stream in container.streams.video if not _is_cover(stream)]
        if not pictures:
            raise unusable("has no pictures, only sound or data")
        stream = pictures[0]
        width, height = stream.codec_context.width, stream.codec_context.height
        if width * height > MAX_PIXELS or max(width, height) > 2 * MAX_SIDE_PIXELS:
            raise unusable(
                f"has frames of {width} x {height} pixels; at most {MAX_PIXELS:,} are decoded"
            )
        video = Video(container, stream)
        if (video.seconds or 0) > MAX_SECONDS:
            raise unusable(f"is longer than {MAX_SECONDS // 3600} hours")
        # One task, one thread: the worker gives each slot its share of the processors.
        stream.codec_context.thread_count = 1
        yield video


def _is_cover(stream: VideoStream) -> bool:
    return bool(stream.disposition & type(stream.disposition).attached_pic)


def decode(packet: Any) -> list[Any]:  # noqa: ANN401 - a packet of sound or of pictures
    """Return the packet's frames; one that is broken has none."""
    try:
        return list(packet.decode())
    except av.InvalidDataError:
        return []


class Turner:
    """Turns frames as the camera was held."""

    def __init__(self) -> None:
        self._graph: Graph | None = None
        self._shape: tuple[object, ...] = ()

    def upright(self, frame: VideoFrame) -> VideoFrame:
        """Return the frame as a viewer shows it."""
        turn = TURNS.get(frame.rotation % FULL_TURN)
        if turn is None:
            return frame
        shape = (frame.width, frame.height, frame.format.name, turn)
        if self._graph is None or shape != self._shape:
            self._graph, self._shape = _build_graph(frame, turn), shape
        self._graph.push(frame)
        turned = self._graph.pull()
        if not isinstance(turned, VideoFrame):
            raise TypeError(f"expected a picture, found {turned!r}")
        turned.pts, turned.time_base = frame.pts, frame.time_base
        return turned


def _build_graph(frame: VideoFrame, turn: str) -> Graph:
    graph = Graph()
    last = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base
    )
    for each in turn.split(","):
        name, _, argument = each.partition("=")
        step = graph.add(name, argument or None)
        last.link_to(step)
        last = step
    last.link_to(graph.add("buffersink"))
    graph.configure()
    return graph


def fitted_size(size: tuple[int, int], *, width: int | None, height: int | None) -> tuple[int, int]:
    """Return the largest even size of the same shape that fits, and is not larger than it was."""
    scale = min(
        1.0,
        *(wanted / own for wanted, own in zip((width, height), size, strict=True) if wanted),
        MAX_SIDE_PIXELS / max(size),
    )
    return (_even(size[0] * scale), _even(size[1] * scale))


def _even(length: float) -> int:
    return max(2, round(length / 2) * 2)
