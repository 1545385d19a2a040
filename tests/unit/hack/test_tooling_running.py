"""Another tool of ours shares the terminal and never outlives the one that called it."""

import signal
import subprocess
import sys
from pathlib import Path

from hack.tooling.running import run_attached

ROOT = Path(__file__).resolve().parents[3]


def test_what_a_tool_prints_can_be_read_while_its_progress_is_shown() -> None:
    result = run_attached(["echo", "answer"], cwd=ROOT, stdout=subprocess.PIPE)

    assert result.is_success
    assert result.output == "answer\n"


def test_a_tool_is_ended_when_its_caller_alone_is_interrupted() -> None:
    calling = (
        "from pathlib import Path; from hack.tooling import running; running._END_SECONDS = 0.1\n"
        "running.run_attached(['sh', '-c', 'echo started; exec sleep 60'], cwd=Path('/'))"
    )
    command = [sys.executable, "-c", calling]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as caller:
        assert caller.stdout is not None
        caller.stdout.readline()

        caller.send_signal(signal.SIGINT)

        # The pipe ends only when the tool, which holds it as well, is gone.
        assert caller.stdout.read() == b""
