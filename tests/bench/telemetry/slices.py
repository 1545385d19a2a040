"""What the slices of a process took, block by block.

Before: ``switching`` has written them.
After: ``reporting`` has the processor time of a unit of work in both variants of a promise.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

from tests.bench.telemetry.promises import Promise

WARM_UP_BLOCKS = 2
BUSY = 0.5
"""A slice with fewer units than this share of the usual was not busy all of its time."""
TURNS = 2
"""Of a block."""


class Slice(NamedTuple):
    """A turn of one variant."""

    variant: str
    units: int
    own_seconds: float
    """Processor time of the process without the thread that sends spans."""
    exporting_seconds: float
    """That of the thread."""


class Block(NamedTuple):
    """What a unit of work took in two turns, one after the other."""

    variant_us: float
    beside_us: float

    @property
    def more_us(self) -> float:
        """What the variant took more."""
        return self.variant_us - self.beside_us


def read_blocks(folder: Path, promise: Promise) -> list[Block]:
    """Return the blocks of every process that wrote into ``folder``."""
    return [
        block
        for path in sorted(folder.glob("*.jsonl"))
        for block in to_blocks(_read(path), promise)
    ]


def _read(path: Path) -> list[Slice]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return [Slice(**json.loads(line)) for line in lines]


def to_blocks(slices: Sequence[Slice], promise: Promise) -> list[Block]:
    """Return the blocks of one process in which it was busy all the time."""
    usual_units = median([each.units for each in slices if each.units] or [0])
    return [_to_block(turns, promise) for turns in _whole(slices) if _is_busy(turns, usual_units)]


def _whole(slices: Sequence[Slice]) -> Iterator[Sequence[Slice]]:
    for first in range(WARM_UP_BLOCKS * TURNS, len(slices) - TURNS + 1, TURNS):
        yield slices[first : first + TURNS]


def _is_busy(turns: Sequence[Slice], usual_units: float) -> bool:
    return all(each.units > BUSY * usual_units for each in turns)


def _to_block(turns: Sequence[Slice], promise: Promise) -> Block:
    by_variant = {each.variant: each for each in turns}
    variant, beside = by_variant[promise.variant], by_variant[promise.beside]
    # Spans are sent some turns later; whenever that is, who made them has it.
    exporting_seconds = sum(each.exporting_seconds for each in turns)
    return Block(
        variant_us=(variant.own_seconds + exporting_seconds) / variant.units * 1e6,
        beside_us=beside.own_seconds / beside.units * 1e6,
    )
