"""Progress: what a tool is doing, how long that usually takes, how long it took.

A cold start builds Kubernetes for five minutes. Without a line that says so, people press
Ctrl-C. One line per step, therefore: its name, its usual time (measured on this machine once
it ran here, the author's figure before that), its elapsed time; and a log per step, so that a
failure can show the reason instead of a wall of text.

    progress = Progress(logs=state / "logs")
    with progress.step("building kubernetes", usual_seconds=295) as step:
        step.run(["go", "build", ...], timeout_seconds=1800)

Before: a tool's own sequence of steps.
After: a person reads the lines; ``hack.tooling.errors.explain`` shows a failed step's log.
"""

import contextlib
import json
import os
import re
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TextIO

from hack.tooling.errors import ToolError
from hack.tooling.running import QUICK_SECONDS, Result, run

REMEMBERED_RUNS = 5
"""Enough for a median that one slow run does not move."""

SHORT_SECONDS = 5
"""A step that usually takes less needs no forecast."""

HEARTBEAT_SECONDS = 60.0
"""In a file or a CI log: a sign of life each minute. A terminal gets one each second."""


class Step:
    """One running step: its log, and a way to run programs into it."""

    def __init__(self, name: str, log: Path) -> None:
        self.name = name
        self.log = log
        self.note = ""
        """Shown behind the elapsed time, e.g. "nothing to do"."""
        self.is_remembered = True
        """Only real work says how long a step takes; see ``skip``."""

    def run(
        self,
        command: Sequence[str | Path],
        *,
        timeout_seconds: float = QUICK_SECONDS,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        input_text: str | None = None,
    ) -> Result:
        """Run a program with its output in this step's log; see ``running.run``."""
        return run(
            command,
            timeout_seconds=timeout_seconds,
            log=self.log,
            env=env,
            cwd=cwd,
            input_text=input_text,
        )

    def write(self, line: str) -> None:
        """Add a line to this step's log."""
        with self.log.open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")

    def skip(self, reason: str) -> None:
        """Say that there was nothing to do; its time does not count as usual."""
        self.note = reason
        self.is_remembered = False


class Progress:
    """Prints steps and remembers how long they take."""

    def __init__(
        self,
        logs: Path,
        *,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Write logs and ``durations.json`` into ``logs``, which is created."""
        logs.mkdir(parents=True, exist_ok=True)
        self._logs = logs
        self._durations = logs / "durations.json"
        self._stream = stream or sys.stdout
        self._clock = clock

    @contextlib.contextmanager
    def step(self, name: str, *, usual_seconds: float | None = None) -> Iterator[Step]:
        """Show one step from its start to its end.

        Args:
            name: what is being done, e.g. "building kubernetes"; also names the log.
            usual_seconds: the author's figure for two cores, until this machine has its own.

        Raises:
            ToolError: as raised inside, with this step's log added.
        """
        step = Step(name, self._logs / f"{_slug(name)}.log")
        step.log.write_text("", encoding="utf-8")
        started = self._clock()
        line = _Line(
            self._stream, self._headline(name, usual_seconds), lambda: self._clock() - started
        )
        try:
            yield step
        except ToolError as error:
            line.end("failed after ")
            error.log = error.log or (step.log if step.log.stat().st_size else None)
            raise
        except BaseException:
            line.end("stopped after ")
            raise
        line.end("", note=step.note)
        if step.is_remembered:
            self._remember(name, self._clock() - started)

    def say(self, text: str) -> None:
        """Print a line between steps."""
        print(text, file=self._stream, flush=True)

    def usual_seconds(self, name: str) -> float | None:
        """The median of the last runs on this machine, or nothing."""
        past = _load_durations(self._durations).get(name, [])
        return statistics.median(past) if past else None

    def _headline(self, name: str, author_seconds: float | None) -> str:
        own_seconds = self.usual_seconds(name)
        seconds = author_seconds if own_seconds is None else own_seconds
        if seconds is None or seconds < SHORT_SECONDS:
            return f"{name} ..."
        where = "on 2 cores" if own_seconds is None else "here"
        return f"{name} (usually {to_words(seconds)} {where}) ..."

    def _remember(self, name: str, seconds: float) -> None:
        durations = _load_durations(self._durations)
        durations[name] = [*durations.get(name, []), round(seconds, 1)][-REMEMBERED_RUNS:]
        partial = self._durations.with_suffix(f".{os.getpid()}")
        partial.write_text(json.dumps(durations, indent=1, sort_keys=True), encoding="utf-8")
        partial.replace(self._durations)


class _Line:
    """The one line of a step; a thread keeps its elapsed time moving."""

    def __init__(self, stream: TextIO, headline: str, elapsed: Callable[[], float]) -> None:
        self._stream = stream
        self._headline = headline
        self._elapsed = elapsed
        self._is_terminal = stream.isatty()
        self._ended = threading.Event()
        self._write(headline)
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._thread.start()

    def end(self, verb: str, *, note: str = "") -> None:
        self._ended.set()
        self._thread.join()
        text = f" {verb}{to_words(self._elapsed())}" + (f" ({note})" if note else "")
        self._write(f"\r\033[K{self._headline}{text}\n" if self._is_terminal else f"{text}\n")

    def _beat(self) -> None:
        interval_seconds = 1.0 if self._is_terminal else HEARTBEAT_SECONDS
        while not self._ended.wait(interval_seconds):
            text = to_words(self._elapsed())
            self._write(f"\r\033[K{self._headline} {text}" if self._is_terminal else f" {text} ...")

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


def to_words(seconds: float) -> str:
    """Write a duration as people say it: "0.4 s", "51 s", "4 min 51 s"."""
    if seconds < 10:  # noqa: PLR2004 - below that, tenths tell two runs apart
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def _load_durations(path: Path) -> dict[str, list[float]]:
    # A half-written or old file only costs the forecast.
    with contextlib.suppress(OSError, ValueError):
        loaded = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(loaded, dict):
            return loaded
    return {}
