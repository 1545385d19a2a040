"""Make a short video for those who have none at hand: a ball that crosses the picture, a tone.

Before: ``videos`` has a payload that names no file.
After: the sample is processed like any video.
"""

import array
import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from PIL import Image, ImageDraw

SIZE = (640, 360)
RATE = 25
SECONDS = 3
SAMPLE_RATE = 48_000
TONE_HERTZ = 440
SAMPLES_AT_ONCE = 1024
LOUDNESS = 3_000
BALL = 30


def make(path: Path) -> Path:
    """Write the sample and return where it is."""
    with av.open(str(path), mode="w", format="mp4") as output:
        pictures: VideoStream = output.add_stream(
            "libx264", rate=RATE, options={"preset": "ultrafast"}
        )
        pictures.width, pictures.height = SIZE
        pictures.pix_fmt = "yuv420p"
        pictures.codec_context.thread_count = 1
        sound: AudioStream = output.add_stream("aac", rate=SAMPLE_RATE, layout="mono")
        for number in range(SECONDS * RATE):
            output.mux(pictures.encode(_show(number)))
        for start in range(0, SECONDS * SAMPLE_RATE, SAMPLES_AT_ONCE):
            output.mux(sound.encode(_play(start)))
        output.mux(pictures.encode(None))
        output.mux(sound.encode(None))
    return path


def _show(number: int) -> VideoFrame:
    make_frame: Any = VideoFrame.from_image
    frame: VideoFrame = make_frame(_draw(number))
    return frame


def _draw(number: int) -> Image.Image:
    width, height = SIZE
    picture = Image.linear_gradient("L").resize(SIZE).convert("RGB")
    x = width * number / (SECONDS * RATE)
    y = height / 2 + height / 3 * math.sin(number / RATE * math.pi)
    ImageDraw.Draw(picture).ellipse((x - BALL, y - BALL, x + BALL, y + BALL), fill="#f59e0b")
    return picture


def _play(start: int) -> AudioFrame:
    wave = array.array(
        "f",
        (
            LOUDNESS / 32_768 * math.sin(2 * math.pi * TONE_HERTZ * n / SAMPLE_RATE)
            for n in range(start, start + SAMPLES_AT_ONCE)
        ),
    )
    frame = AudioFrame(format="fltp", layout="mono", samples=SAMPLES_AT_ONCE)
    frame.planes[0].update(wave.tobytes())
    frame.sample_rate = SAMPLE_RATE
    frame.pts, frame.time_base = start, Fraction(1, SAMPLE_RATE)
    return frame
