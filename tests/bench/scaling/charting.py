"""Draw workers and waiting tasks over time, a row for each load, a line for each rule.

Before: ``cli`` starts it in the venv that has matplotlib, the lines as JSON on its input.
After: an SVG file with the same bytes for the same lines.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

_COLORS = {"this law": "#2563eb", "KEDA, value 4": "#f59e0b", "KEDA, value 20": "#94a3b8"}
_PANELS = (("workers", "workers"), ("waiting_tasks", "waiting tasks"))


def draw(runs: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draw all runs."""
    loads = list(dict.fromkeys(run["load"] for run in runs))
    figure = Figure(figsize=(10, 0.5 + 1.9 * len(loads)), layout="constrained")
    axes = figure.subplots(len(loads), len(_PANELS), squeeze=False)
    for row, load in zip(axes, loads, strict=True):
        for axis, (key, title) in zip(row, _PANELS, strict=True):
            for run in (run for run in runs if run["load"] == load):
                minutes = [second / 60 for second in run["seconds"]]
                axis.plot(
                    minutes, run[key], color=_COLORS[run["rule"]], label=run["rule"], linewidth=1.2
                )
            axis.set_title(f"{load}: {title}", loc="left", fontsize=9)
            axis.spines[["top", "right"]].set_visible(False)
            axis.set_ylim(bottom=0)
            axis.margins(x=0)
    axes[-1][0].set_xlabel("minutes", fontsize=9)
    axes[-1][1].set_xlabel("minutes", fontsize=9)
    axes[0][0].legend(fontsize=8, frameon=False)
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    mpl.rcParams["svg.hashsalt"] = "bench"
    draw(json.loads(sys.stdin.read()), Path(sys.argv[1]))
