"""The example package does what it says; also an example of how to test one's own."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from orchestrator_core.attempts import ProgressReport
from orchestrator_core.handler_testing import run_handler
from orchestrator_demo_tasks import handlers

README = Path(__file__).parents[3] / "hack/samples/demo-tasks/README.md"


@pytest.mark.parametrize("task_type", ["demo_sleep", "demo_spin"])
def test_a_long_task_tells_how_far_it_is(task_type: str) -> None:
    reports: list[ProgressReport] = []

    run_handler(handlers, task_type, {"seconds": 0.6}, reports=reports)

    fractions = [each.fraction for each in reports]
    assert len(reports) >= 2
    assert fractions == sorted(fractions)
    assert 0 <= fractions[0] < fractions[-1] < 1
    assert all(each.message.endswith(" s left") for each in reports)


@pytest.mark.parametrize("task_type", ["demo_sleep", "demo_spin", "demo_block"])
def test_no_time_takes_no_time_and_tells_nothing(task_type: str) -> None:
    reports: list[ProgressReport] = []

    result = run_handler(handlers, task_type, {"seconds": 0}, reports=reports)

    assert b"0 s" in result.content
    assert reports == []


def test_failing_ends_after_as_many_times_as_asked() -> None:
    with pytest.raises(RuntimeError, match="attempt 2 fails, as asked"):
        run_handler(handlers, "demo_fail", {"times": 2}, attempt=2)

    result = run_handler(handlers, "demo_fail", {"times": 2}, attempt=3)

    assert result.content == b"succeeded in attempt 3\n"


def test_allocating_fills_as_much_as_asked() -> None:
    result = run_handler(handlers, "demo_allocate", {"bytes": 1024})

    assert result.content == b"filled 1024 bytes\n"


def test_crashing_ends_the_process_of_the_attempt() -> None:
    script = (
        "from orchestrator_core.handler_testing import run_handler\n"
        "from orchestrator_demo_tasks import handlers\n"
        f"run_handler(handlers, 'demo_crash', {{'signal': {int(signal.SIGKILL)}}})\n"
    )

    ended = subprocess.run([sys.executable, "-c", script], check=False, timeout=60)

    assert ended.returncode == -signal.SIGKILL


def test_a_signal_that_is_ignored_does_no_harm() -> None:
    before = signal.signal(signal.SIGUSR1, signal.SIG_IGN)

    result = run_handler(handlers, "demo_crash", {"signal": int(signal.SIGUSR1)}, attempt=4)

    signal.signal(signal.SIGUSR1, before)
    assert b"did no harm in attempt 4" in result.content


@pytest.mark.parametrize(
    ("task_type", "payload"),
    [
        ("demo_sleep", {"seconds": -1}),
        ("demo_spin", {"seconds": 100_000}),
        ("demo_fail", {"times": 1.5}),
        ("demo_crash", {"signal": 65}),
        ("demo_allocate", {"bytes": "many"}),
    ],
)
def test_payloads_that_make_no_sense_are_refused(
    task_type: str, payload: dict[str, object]
) -> None:
    with pytest.raises(ValidationError):
        run_handler(handlers, task_type, payload)


def test_the_readme_names_every_type() -> None:
    text = README.read_text(encoding="utf-8")

    assert [each.task_type for each in handlers if f"| `{each.task_type}` |" not in text] == []


def test_the_readmes_example_passes_its_own_test() -> None:
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, object] = {}

    for block in blocks:
        exec(block, names)  # noqa: S102 - our own document, to see that it is true
    tests = [each for name, each in names.items() if name.startswith("test_")]

    assert len(tests) == 1
    for test in tests:
        assert callable(test)
        test()
