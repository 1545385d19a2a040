"""Prometheus' own judgement of rules.

Before: a file of rules, or of tests of rules, is written.
After: the test fails with what promtool says, or has what it printed.
"""

import subprocess
from pathlib import Path

PROMTOOL_SECONDS = 30


def promtool(*arguments: str | Path) -> str:
    """Run promtool, which must succeed; return what it prints."""
    done = subprocess.run(
        ["promtool", *arguments],
        capture_output=True,
        text=True,
        timeout=PROMTOOL_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
