import contextvars
import json
import logging
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog

from orchestrator_core.logs import configure_logs, render_line, speak_of


@pytest.fixture
def lines(capsysbinary: pytest.CaptureFixture[bytes]) -> Iterator[Callable[[], list[Any]]]:
    """What was written so far; the configuration ends with the test."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield lambda: [json.loads(line) for line in capsysbinary.readouterr().out.splitlines()]
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    root.handlers, root.level = handlers, level
    logging.captureWarnings(capture=False)


def test_warnings_of_python_are_lines_like_all_others(lines: Callable[[], list[Any]]) -> None:
    with warnings.catch_warnings():
        configure_logs(app="worker")
        warnings.simplefilter("always")
        warnings.warn("a coroutine was never awaited", RuntimeWarning, stacklevel=1)

        (line,) = lines()
        logging.captureWarnings(capture=False)
    assert (line["app"], line["level"], line["logger"]) == ("worker", "warning", "py.warnings")
    assert "a coroutine was never awaited" in line["event"]


def test_our_lines_and_those_of_libraries_look_the_same(lines: Callable[[], list[Any]]) -> None:
    configure_logs(app="api")

    with structlog.contextvars.bound_contextvars(trace_id="4bf9"):
        structlog.get_logger("ours").warning("something", task_id=7)
        logging.getLogger("theirs").warning("something %s", "else")

    ours, theirs = lines()
    assert ours.pop("at")[-1] == theirs.pop("at")[-1] == "Z"
    common = {"app": "api", "trace_id": "4bf9", "level": "warning"}
    assert ours == {**common, "event": "something", "task_id": 7, "logger": "ours"}
    assert theirs == {**common, "event": "something else", "logger": "theirs"}


def test_the_subject_is_on_every_line_of_its_context_and_on_no_other(
    lines: Callable[[], list[Any]],
) -> None:
    configure_logs(app="worker")

    def attempt() -> None:
        speak_of({"task_id": 7, "epoch": 2})
        structlog.get_logger("ours").info("ours", epoch=3)
        logging.getLogger("theirs").warning("theirs")

    contextvars.copy_context().run(attempt)
    structlog.get_logger("ours").info("afterwards")

    told = [{name: line.get(name) for name in ("task_id", "epoch")} for line in lines()]
    assert told == [
        {"task_id": 7, "epoch": 3},
        {"task_id": 7, "epoch": 2},
        {"task_id": None, "epoch": None},
    ]


def test_lines_of_other_threads_say_which_process_they_are_of(
    lines: Callable[[], list[Any]],
) -> None:
    configure_logs(app="worker")

    def speak() -> None:
        structlog.get_logger("ours").info("ours")
        logging.getLogger("theirs").warning("theirs")

    thread = threading.Thread(target=speak)
    thread.start()
    thread.join()

    assert [line["app"] for line in lines()] == ["worker", "worker"]


def test_lines_below_the_level_are_not_written(lines: Callable[[], list[Any]]) -> None:
    configure_logs(app="api", level="WARNING")

    structlog.get_logger("ours").info("nothing")
    logging.getLogger("theirs").info("nothing")

    assert lines() == []


def test_an_exception_is_told_without_the_values_of_its_variables(
    lines: Callable[[], list[Any]],
) -> None:
    configure_logs(app="api")

    def fail(password: str) -> None:
        raise ValueError(len(password))

    try:
        fail("correct horse battery staple")
    except ValueError:
        structlog.get_logger("ours").exception("failed")

    (line,) = lines()
    assert line["exception"][0]["exc_type"] == "ValueError"
    assert "correct horse" not in json.dumps(line)


@pytest.mark.parametrize("value", ["\ud800", b"\xff", float("nan"), object(), {1, 2}, {(1,): 2}])
def test_no_value_breaks_a_line(value: object) -> None:
    line = render_line(None, "info", {"event": "odd", "value": value})

    assert b"\n" not in line
    assert json.loads(line)["event"] == "odd"
