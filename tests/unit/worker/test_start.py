"""A worker that can't serve every installed type does not start, and says which package it is."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

EXIT_REFUSED = 2

TWICE = """
from orchestrator_core.handlers import HandlerGroup, Payload

handlers = HandlerGroup()

@handlers.register("IMAGE_RESIZE", payload=Payload)
def again(payload, context):
    raise AssertionError
"""


def install(folder: Path, module: str) -> None:
    """Make a package ``acme_tasks`` that the worker finds when it looks into ``folder``."""
    facts = folder / "acme_tasks-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Name: acme-tasks\nVersion: 1.0\n", encoding="utf-8")
    (facts / "entry_points.txt").write_text(
        "[orchestrator.handlers]\nacme = acme_tasks:handlers\n", encoding="utf-8"
    )
    (folder / "acme_tasks.py").write_text(module, encoding="utf-8")


def start(command: str, folder: Path) -> tuple[int, dict[str, str]]:
    """Run the worker without any store; return its exit code and its last words."""
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(folder),
        "DB_HOST": "127.0.0.1",
        "DB_PORT": "9",
        "DB_USER": "nobody",
        "DB_PASSWORD": "none",
        "RABBITMQ_URL": "amqp://nobody:none@127.0.0.1:9/",
    }
    ended = subprocess.run(
        [sys.executable, "-m", "orchestrator_worker", command],
        env=environment,
        capture_output=True,
        check=False,
        timeout=60,
    )
    return ended.returncode, json.loads(ended.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    ("command", "module", "reason"),
    [
        ("serve", "import acme_missing\n", "can't import acme_tasks:handlers: ModuleNotFoundErr"),
        ("serve", TWICE, "'IMAGE_RESIZE' is defined twice, by "),
        ("publish-types", "import sys\nsys.exit('no licence')\n", "SystemExit('no licence')"),
        ("publish-types", "handlers = 7\n", "acme_tasks:handlers is no HandlerGroup"),
    ],
    ids=["needs-what-is-missing", "twice", "exits", "no-group"],
)
def test_a_package_that_can_not_be_served_stops_the_start_with_a_sentence(
    tmp_path: Path, command: str, module: str, reason: str
) -> None:
    install(tmp_path, module)

    exit_code, last_line = start(command, tmp_path)

    assert exit_code == EXIT_REFUSED
    assert (last_line["event"], last_line["code"]) == ("refused", "handler_setup")
    assert reason in last_line["reason"]
