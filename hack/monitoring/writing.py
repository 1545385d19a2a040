"""Write the dashboards and the rules into the chart, or say which of them is out of date.

Before: ``make generate``, and ``make verify`` with ``--check``.
After: the chart's templates put them into ConfigMaps and a PrometheusRule.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from hack.monitoring.alerts import to_rules
from hack.monitoring.dashboards import DASHBOARDS
from hack.monitoring.grafana import to_json

CHART = Path(__file__).resolve().parents[2] / "charts/orchestrator-operator"
RULES = "files/rules.yaml"
HEAD = "# Written by `make generate` from hack/monitoring/alerts.py.\n"


def render() -> Mapping[str, str]:
    """Return what each file should hold, by its path in the chart."""
    dashboards = {
        f"files/dashboards/{each.uid}.json": json.dumps(to_json(each), indent=1, sort_keys=False)
        + "\n"
        for each in DASHBOARDS
    }
    rules = yaml.safe_dump(to_rules(), sort_keys=False, width=100, allow_unicode=True)
    return {**dashboards, RULES: HEAD + rules}


def find_stale(chart: Path) -> list[Path]:
    """Name the files that are not as they should be, and those that should not be at all."""
    wanted = {chart / path: text for path, text in render().items()}
    others = {*chart.glob("files/dashboards/*")} - wanted.keys()
    changed = [
        path
        for path, text in wanted.items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    return sorted([*changed, *others])


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the files, or only look; 1 when ``--check`` finds a stale one."""
    parser = argparse.ArgumentParser(description="Write the chart's dashboards and rules.")
    parser.add_argument("--check", action="store_true", help="change nothing; say what is stale")
    parser.add_argument("--chart", type=Path, default=CHART, help="the chart's folder")
    options = parser.parse_args(arguments)
    stale = find_stale(options.chart)
    if not options.check:
        _write(options.chart, stale)
        return 0
    for path in stale:
        print(f"{path} is not what hack/monitoring says: run `make generate`", file=sys.stderr)
    return 1 if stale else 0


def _write(chart: Path, stale: Sequence[Path]) -> None:
    wanted = {chart / path: text for path, text in render().items()}
    for path in stale:
        if path in wanted:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(wanted[path], encoding="utf-8")
            print(f"wrote {path}")
        else:
            path.unlink()
            print(f"removed {path}")
