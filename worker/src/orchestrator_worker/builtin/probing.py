"""Say what a video is, without decoding it.

Before: ``videos`` has the file.
After: a JSON document is the result.
"""

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer

from orchestrator_core.attempts import ResultFile
from orchestrator_worker.builtin.results import to_json_result
from orchestrator_worker.builtin.video_files import opened


def probe(path: Path) -> ResultFile:
    """Describe the file and its streams.

    Raises:
        GiveUpError: it can't be used.
    """
    with opened(path) as container:
        facts = _describe(container, size_bytes=path.stat().st_size)
    return to_json_result(facts, file_name="probe.json")


def _describe(container: InputContainer, *, size_bytes: int) -> dict[str, Any]:
    duration = container.duration
    return {
        "container": container.format.name,
        "size_bytes": size_bytes,
        "duration_seconds": None if duration is None else round(duration / av.time_base, 3),
        "bit_rate": container.bit_rate or None,
        "streams": [_describe_stream(stream) for stream in container.streams],
    }


def _describe_stream(stream: Any) -> dict[str, Any]:  # noqa: ANN401 - of any kind
    context = stream.codec_context
    facts = {
        "kind": stream.type,
        "codec": context.name if context else None,
        "language": stream.language,
    }
    if stream.type == "video":
        return facts | {
            "width": context.width,
            "height": context.height,
            "pixel_format": context.pix_fmt,
            "frame_rate": _rate(stream.average_rate),
            "frames": stream.frames or None,
        }
    if stream.type == "audio":
        return facts | {
            "sample_rate": context.sample_rate,
            "channels": context.channels,
        }
    return facts


def _rate(rate: Fraction | None) -> float | None:
    return round(float(rate), 3) if rate else None
