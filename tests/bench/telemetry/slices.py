"""What the slices of a process took, block by block.

Before: ``switching`` has written them.
After: ``reporting`` has the processor time of a unit of work in each variant.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

BARE, COUNTED, AT_ZERO, AT_TENTH = VARIANTS = ("bare", "counted", "at 0", "at 10 %")
"""Nothing; metrics; metrics and a collector, but nobody traced; one request in ten traced."""
WARM_UP_BLOCKS = 2
BUSY = 0.5
"""A slice with fewer units than this share of the usual was not busy all of its time."""

Block = Mapping[str, float]
"""Microseconds of a unit of work by variant, all of the same few seconds."""


class Slice(NamedTuple):
    """A turn of one variant."""

    variant: str
    units: int
    own_seconds: float
    """Processor time of the process without the thread that sends spans."""
    exporting_seconds: float
    """That of the thread."""


def read_blocks(folder: Path) -> list[Block]:
    """Return the blocks of every process that wrote into ``folder``."""
    return [block for path in sorted(folder.glob("*.jsonl")) for block in to_blocks(_read(path))]


def _read(path: Path) -> list[Slice]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return [Slice(**json.loads(line)) for line in lines]


def to_blocks(slices: Sequence[Slice]) -> list[Block]:
    """Return the blocks of one process in which it was busy all the time."""
    usual_units = median([each.units for each in slices if each.units] or [0])
    return [_to_block(turns) for turns in _whole(slices) if _is_busy(turns, usual_units)]


def _whole(slices: Sequence[Slice]) -> Iterator[tuple[Slice, ...]]:
    size = len(VARIANTS)
    for first in range(WARM_UP_BLOCKS * size, len(slices) - size + 1, size):
        yield tuple(slices[first : first + size])


def _is_busy(turns: Sequence[Slice], usual_units: float) -> bool:
    return all(each.units > BUSY * usual_units for each in turns)


def _to_block(turns: Sequence[Slice]) -> Block:
    exporting_seconds = sum(each.exporting_seconds for each in turns)
    return {
        each.variant: (each.own_seconds + (exporting_seconds if each.variant == AT_TENTH else 0.0))
        / each.units
        * 1e6
        for each in turns
    }
