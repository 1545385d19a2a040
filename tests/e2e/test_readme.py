"""The README's first session works as pasted."""

import re
import subprocess
from pathlib import Path

from platform_under_test import ROOT, Platform, Tunnel


def test_the_first_session_works_as_pasted(platform: Platform, tmp_path: Path) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.search(r"## A first session.*?```bash\n(.*?)```", readme, re.DOTALL)
    assert found is not None
    tunnel = Tunnel(platform.namespace, f"{platform.name}-api")
    session = found.group(1).replace("$(make -s api-url)", tunnel.open())

    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", session],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    tunnel.close()

    assert done.returncode == 0, done.stderr
    assert '"User registered successfully"' in done.stdout
    assert '"status":"COMPLETED"' in done.stdout.replace(" ", "")
    assert (tmp_path / "resized.jpg").read_bytes().startswith(b"\xff\xd8")
