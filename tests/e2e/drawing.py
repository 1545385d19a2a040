"""Draw the dashboards as a test run saw them, to be looked at: Grafana itself is not here.

It runs in the benchmark's environment, the only one with a library that draws.

Before: ``test_dashboards.py`` has left ``dashboards.json``.
After: a picture of each dashboard lies beside it.
"""

import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

COLUMNS = 3
MOST_NAMES = 8
_SCALES = {"bytes": (2**20, "MiB"), "percentunit": (0.01, "%")}


def draw(page: Mapping[str, Any], began: float, path: Path) -> None:
    """Draw one dashboard."""
    panels = page["panels"]
    rows = math.ceil(len(panels) / COLUMNS)
    figure = Figure(figsize=(16, 0.6 + 2.7 * rows), layout="constrained")
    axes = figure.subplots(rows, COLUMNS, squeeze=False).flatten()
    for axis, panel in zip(axes, panels, strict=False):
        draw_panel(axis, panel, began)
    for axis in axes[len(panels) :]:
        axis.axis("off")
    figure.suptitle(page["title"], fontsize=13)
    figure.savefig(path, dpi=70)


def draw_panel(axis: Axes, panel: Mapping[str, Any], began: float) -> None:
    """Draw one panel: its lines, or its last number."""
    scale, unit = _SCALES.get(panel["unit"], (1, panel["unit"]))
    axis.set_title(f"{panel['row']}: {panel['title']}  [{unit}]", loc="left", fontsize=9)
    axis.spines[["top", "right"]].set_visible(False)
    if panel["kind"] == "stat":
        draw_number(axis, panel["queries"][0]["series"], scale)
        return
    drawn = [
        (
            query,
            series,
            [(float(at) - began, float(value) / scale) for at, value in series["values"]],
        )
        for query in panel["queries"]
        for series in query["series"]
    ]
    stacked = [each for each in drawn if panel["is_stacked"] and not each[0]["is_bound"]]
    if stacked:
        draw_stack(axis, stacked)
    for query, series, points in drawn:
        if (query, series, points) in stacked:
            continue
        style = {"linestyle": "--", "color": "gray"} if query["is_bound"] else {}
        axis.plot(*zip(*points, strict=True), label=name_of(query, series), linewidth=1.2, **style)
    axis.set_ylim(bottom=0)
    axis.margins(x=0)
    axis.tick_params(labelsize=7)
    handles, labels = axis.get_legend_handles_labels()
    if handles:
        axis.legend(handles[:MOST_NAMES], labels[:MOST_NAMES], fontsize=6.5, frameon=False)


def draw_number(axis: Axes, series: Sequence[Mapping[str, Any]], scale: float) -> None:
    """Write the last value in large letters."""
    text = f"{float(series[0]['values'][-1][1]) / scale:.4g}" if series else "no data"
    axis.axis("off")
    axis.text(0.5, 0.4, text, fontsize=26, ha="center", transform=axis.transAxes)


def draw_stack(axis: Axes, stacked: Sequence[tuple[Any, Any, list[tuple[float, float]]]]) -> None:
    """Draw lines on top of each other; where one has no value it adds nothing."""
    times = sorted({at for _, _, points in stacked for at, _ in points})
    values = []
    for _, _, points in stacked:
        known = {at: 0.0 if math.isnan(value) else value for at, value in points}
        values.append([known.get(at, 0.0) for at in times])
    names = [name_of(query, series) for query, series, _ in stacked]
    axis.stackplot(times, values, labels=names, alpha=0.6)


def name_of(query: Mapping[str, Any], series: Mapping[str, Any]) -> str:
    """Put a series' labels into its legend."""
    name = str(query["legend"])
    for label, value in series["metric"].items():
        name = name.replace("{{" + label + "}}", value)
    return name


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    kept = json.loads((folder / "dashboards.json").read_text(encoding="utf-8"))
    for each in kept["pages"]:
        name = each["title"].rpartition(" / ")[2].lower().replace(" ", "-")
        draw(each, kept["began"], folder / f"{name}.png")
