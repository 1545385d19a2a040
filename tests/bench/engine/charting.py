"""Draw the summary: burn-down, HTTP submissions and latency, one bar a system.

Before: ``writing`` starts it in the venv that has matplotlib.
After: an SVG file with the same bytes for the same figures.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

_OURS, _PEERS, _LINE = "#2563eb", "#94a3b8", "#dc2626"


def draw(summary: Mapping[str, Any], path: Path) -> None:
    """Draw a panel for each part of the summary that has figures."""
    panels = [
        ("Burn-down, tasks/s", summary["drain_per_s"], summary["roofline_per_s"]),
        ("HTTP submit, 201/s", summary["submit_http_per_s"], None),
        *(
            (
                f"Submit to COMPLETED, {name}, ms (less is better)",
                {system: each[name] for system, each in summary["latency_ms"].items()},
                None,
            )
            for name in ("p50", "p99")
        ),
    ]
    shown = [panel for panel in panels if panel[1]] or panels[:1]
    figure = Figure(figsize=(8, 0.6 + 2.1 * len(shown)), layout="constrained")
    axes = figure.subplots(len(shown), 1, squeeze=False)
    for axis, (title, values, bound) in zip(axes[:, 0], shown, strict=True):
        _draw_panel(axis, title, values, bound)
    figure.savefig(path, metadata={"Date": None})


def _draw_panel(axis: Any, title: str, values: Mapping[str, float], bound: float | None) -> None:
    names = list(values)
    colors = [_OURS if name == "ours" else _PEERS for name in names]
    bars = axis.barh(names, list(values.values()), color=colors)
    axis.bar_label(bars, fmt="{:,.4g}", padding=3)
    axis.invert_yaxis()
    axis.set_title(title, loc="left", fontsize=10)
    axis.spines[["top", "right"]].set_visible(False)
    axis.margins(x=0.12)
    if bound:
        axis.axvline(bound, color=_LINE, linestyle="--", linewidth=1)
        above = axis.get_xaxis_transform()
        label = f"roofline {bound:,.0f}"
        axis.text(bound, 1.02, label, color=_LINE, ha="center", fontsize=8, transform=above)


if __name__ == "__main__":
    mpl.rcParams["svg.hashsalt"] = "bench"
    draw(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")), Path(sys.argv[2]))
