"""Progress tells what is done, how long it usually takes and how long it took."""

import io
from pathlib import Path

import pytest

from hack.tooling.errors import CommandError, ToolError, explain
from hack.tooling.running import probe, run
from hack.tooling.steps import Progress, to_words


class Clock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def a_progress(tmp_path: Path, stream: io.StringIO, clock: Clock) -> Progress:
    return Progress(tmp_path / "logs", stream=stream, clock=clock)


def test_a_step_is_one_line_with_the_usual_and_the_elapsed_time(tmp_path: Path) -> None:
    stream, clock = io.StringIO(), Clock()

    with a_progress(tmp_path, stream, clock).step("building kubernetes", usual_seconds=295):
        clock.now = 291

    expected = "building kubernetes (usually 4 min 55 s on 2 cores) ... 4 min 51 s\n"
    assert stream.getvalue() == expected


def test_the_usual_time_becomes_this_machines_own(tmp_path: Path) -> None:
    stream, clock = io.StringIO(), Clock()
    progress = a_progress(tmp_path, stream, clock)
    for seconds in (30, 20, 40):
        with progress.step("building", usual_seconds=295):
            clock.now += seconds
    stream.truncate(0)

    with progress.step("building", usual_seconds=295):
        pass

    assert "(usually 30 s here)" in stream.getvalue()


def test_a_skipped_step_says_why_and_does_not_count_as_usual(tmp_path: Path) -> None:
    stream = io.StringIO()
    progress = a_progress(tmp_path, stream, Clock())

    with progress.step("loading") as step:
        step.skip("is there")

    assert stream.getvalue() == "loading ... 0.0 s (is there)\n"
    assert progress.usual_seconds("loading") is None


def test_a_failed_step_is_told_with_the_end_of_its_log(tmp_path: Path) -> None:
    stream = io.StringIO()
    progress = a_progress(tmp_path, stream, Clock())

    with pytest.raises(CommandError) as failure, progress.step("Building API!") as step:
        step.run(["sh", "-c", "seq 100; echo broken >&2; exit 3"])

    told = explain(failure.value)
    log = tmp_path / "logs" / "building-api.log"
    assert "failed after" in stream.getvalue()
    assert "ended with 3" in told
    assert "    broken" in told
    assert "    1\n" not in told
    assert f"the whole log: {log}" in told


def test_an_interrupted_step_is_not_remembered(tmp_path: Path) -> None:
    stream = io.StringIO()
    progress = a_progress(tmp_path, stream, Clock())

    with pytest.raises(KeyboardInterrupt), progress.step("building"):
        raise KeyboardInterrupt

    assert "stopped after" in stream.getvalue()
    assert progress.usual_seconds("building") is None


def test_damaged_durations_cost_only_the_forecast(tmp_path: Path) -> None:
    stream = io.StringIO()
    progress = a_progress(tmp_path, stream, Clock())
    (tmp_path / "logs" / "durations.json").write_text("{half")

    with progress.step("building"):
        pass

    assert progress.usual_seconds("building") == 0.0


def test_a_terminals_line_is_rewritten_in_place(tmp_path: Path) -> None:
    stream = Terminal()

    with a_progress(tmp_path, stream, Clock()).step("building"):
        pass

    assert stream.getvalue().endswith("\r\033[Kbuilding ... 0.0 s\n")


def test_a_log_holds_the_command_and_both_its_outputs(tmp_path: Path) -> None:
    progress = a_progress(tmp_path, io.StringIO(), Clock())

    with progress.step("building") as step:
        step.run(["sh", "-c", "echo out; echo err >&2"])

    assert step.log.read_text() == "$ sh -c echo out; echo err >&2\nout\nerr\n"


def test_a_program_that_takes_too_long_is_ended_with_its_children(tmp_path: Path) -> None:
    marker = tmp_path / "alive"

    with pytest.raises(CommandError) as failure:
        run(["sh", "-c", f"(sleep 1; touch {marker}) & wait"], timeout_seconds=0.2)

    assert failure.value.status is None
    assert "did not end within 0.2 s" in failure.value.found
    assert probe(["sleep", "1.2"]).is_success
    assert not marker.exists()


def test_a_program_that_is_missing_ends_with_127() -> None:
    assert probe(["no-such-program"]).status == 127


def test_a_program_never_waits_for_an_answer_from_the_terminal() -> None:
    assert run(["cat"]).output == ""
    assert run(["cat"], input_text="given").output == "given"


def test_the_environment_is_added_to_not_replaced() -> None:
    assert run(["sh", "-c", "echo $ADDED ${PATH:+path}"], env={"ADDED": "a"}).output == "a path\n"


def test_an_error_without_a_log_is_two_lines() -> None:
    error = ToolError("port 6443 is in use", advice="end process 7")

    assert explain(error) == "error: port 6443 is in use\n  what to do: end process 7"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.04, "0.0 s"), (9.94, "9.9 s"), (51.2, "51 s"), (60, "1 min 0 s"), (291, "4 min 51 s")],
)
def test_durations_read_as_people_say_them(seconds: float, words: str) -> None:
    assert to_words(seconds) == words


def test_programs_of_administrators_are_found_without_their_path(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")

    assert run(["sh", "-c", "echo $PATH"]).output.strip().endswith(":/usr/sbin:/sbin")
