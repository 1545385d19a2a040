"""Write the report, the summary and the chart.

Before: ``running`` has the findings.
After: three files in the results folder.
"""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.bench.engine.reporting import Machine, build_report
from tests.bench.engine.saying import say
from tests.bench.engine.summarizing import Findings, build_summary
from tests.bench.engine.systems import PEER_PYTHON, ROOT

_CHART_SECONDS = 120


def write_results(
    folder: Path, findings: Findings, machine: Machine, faults: Sequence[str]
) -> None:
    """Write all three; the chart is drawn in the peers' venv, which has the library for it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.md").write_text(build_report(findings, machine, faults), encoding="utf-8")
    summary = folder / "summary.json"
    summary.write_text(json.dumps(build_summary(findings), indent=2) + "\n", encoding="utf-8")
    chart = folder / "chart.svg"
    subprocess.run(
        [PEER_PYTHON, "-m", "tests.bench.engine.charting", summary.resolve(), chart.resolve()],
        cwd=ROOT,
        check=True,
        timeout=_CHART_SECONDS,
    )
    say(f"wrote {folder / 'report.md'}, {summary} and {chart}")
