"""What a dashboard is made of, before anybody draws it.

Before: ``dashboards`` fills these in.
After: ``grafana`` turns them into Grafana's JSON; tests ask Prometheus each query.
"""

from dataclasses import dataclass
from enum import StrEnum

GRID_COLUMNS = 24


class Unit(StrEnum):
    """Grafana's names of units."""

    NUMBER = "short"
    SECONDS = "s"
    BYTES = "bytes"
    SHARE = "percentunit"
    PER_SECOND = "cps"
    REQUESTS_PER_SECOND = "reqps"
    CORES = "none"
    YES_OR_NO = "bool_yes_no"


class Kind(StrEnum):
    """How a panel shows its queries."""

    LINES = "timeseries"
    NUMBER = "stat"


@dataclass(frozen=True, slots=True)
class Query:
    """One expression and what its series are called."""

    expression: str
    legend: str
    """May name labels, as ``{{pod}}``."""
    is_bound: bool = False
    """Drawn dashed: a limit or a promise, not a measurement."""


@dataclass(frozen=True, slots=True)
class Level:
    """From which value on a number has a color."""

    color: str
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One picture with one unit."""

    title: str
    description: str
    """What it shows and what is good, for somebody who sees it for the first time."""
    unit: Unit
    queries: tuple[Query, ...]
    kind: Kind = Kind.LINES
    width: int = 8
    height: int = 7
    is_stacked: bool = False
    most: float | None = None
    """The top of the axis; None fits it to what is shown."""
    levels: tuple[Level, ...] = ()
    """Colors of a number, from the lowest."""
    base_color: str = "green"
    """Of a number below the first level."""


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under one heading."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dashboard:
    """One page."""

    uid: str
    """In its address; stays for ever."""
    title: str
    description: str
    rows: tuple[Row, ...]


def number(  # noqa: PLR0913 - the parts of a small panel
    title: str,
    description: str,
    expression: str,
    unit: Unit,
    *levels: Level,
    base_color: str = "green",
    width: int = 4,
) -> Panel:
    """Return a panel with one number, as it is now."""
    return Panel(
        title=title,
        description=description,
        unit=unit,
        queries=(Query(expression, title),),
        kind=Kind.NUMBER,
        width=width,
        height=4,
        levels=levels,
        base_color=base_color,
    )


def lines(  # noqa: PLR0913 - the parts of a usual panel
    title: str,
    description: str,
    unit: Unit,
    *queries: Query,
    is_stacked: bool = False,
    most: float | None = None,
    width: int = 8,
) -> Panel:
    """Return a panel with lines over time."""
    return Panel(
        title=title,
        description=description,
        unit=unit,
        queries=queries,
        is_stacked=is_stacked,
        most=most,
        width=width,
    )
