"""Programs that a tool runs to their end, each with a deadline.

One place decides how: no standard input unless text is given (apt must never wait for an
answer), output into a step's log or into memory, and the whole process group is ended when
time is up, so that a build leaves no compilers behind.

Before: steps and modules under ``hack/`` that need a program of the machine.
After: ``Result`` for those who look at the answer; ``CommandError`` for those who cannot go on.
"""

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from hack.tooling.errors import CommandError

QUICK_SECONDS = 60.0
"""For programs that only answer a question; they take well under a second."""

_END_SECONDS = 5.0
"""A tool of ours ends what it runs within a tenth of a second."""


@dataclass(frozen=True)
class Result:
    """How a program ended; ``output`` is empty when it went to a log."""

    status: int
    output: str = ""
    errors: str = ""

    @property
    def is_success(self) -> bool:
        """The program ended with 0."""
        return self.status == 0


def run(  # noqa: PLR0913 - one keyword per thing a program needs from its caller
    command: Sequence[str | Path],
    *,
    timeout_seconds: float = QUICK_SECONDS,
    log: Path | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    input_text: str | None = None,
) -> Result:
    """Run a program and insist that it succeeds.

    Args:
        command: program and arguments.
        timeout_seconds: wall time; afterwards the program's whole group is killed.
        log: file that both outputs are appended to; without it they are returned.
        env: added to this process's environment.
        cwd: folder to run in.
        input_text: standard input; without it there is none.

    Raises:
        CommandError: the program is missing, failed, or was too slow.
    """
    result = probe(
        command, timeout_seconds=timeout_seconds, log=log, env=env, cwd=cwd, input_text=input_text
    )
    if not result.is_success:
        output = "\n".join(text for text in (result.output, result.errors) if text)
        raise CommandError(_words(command), status=result.status, output=output, log=log)
    return result


def probe(  # noqa: PLR0913 - the same keywords as run()
    command: Sequence[str | Path],
    *,
    timeout_seconds: float = QUICK_SECONDS,
    log: Path | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    input_text: str | None = None,
) -> Result:
    """Run a program whose failure is an expected answer; arguments as for ``run``.

    A program that is not there ends with 127, as in a shell.

    Raises:
        CommandError: it did not end in time.
    """
    words = _words(command)
    with contextlib.ExitStack() as stack:
        sink = stack.enter_context(log.open("ab")) if log else subprocess.PIPE
        if log:
            _announce(log, words)
        try:
            starting = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL if input_text is None else subprocess.PIPE,
                stdout=sink,
                stderr=subprocess.STDOUT if log else sink,
                env=_environment(env or {}),
                cwd=cwd,
                start_new_session=True,
            )
        except FileNotFoundError as error:
            return Result(127, errors=f"{words[0]}: {error.strerror}")
        process = stack.enter_context(starting)
        return _finish(process, words, timeout_seconds=timeout_seconds, log=log, text=input_text)


def run_attached(
    command: Sequence[str | Path], *, cwd: Path, stdout: TextIO | int | None = None
) -> Result:
    """Run another tool of ours before the person's eyes; it has deadlines and sentences of its own.

    Args:
        command: program and arguments; it shares the terminal, and with it Ctrl-C.
        cwd: folder to run in.
        stdout: where its output goes: shown, unless ``subprocess.PIPE`` has it returned.
    """
    with subprocess.Popen(_words(command), cwd=cwd, stdout=stdout) as process:
        try:
            output, _ = process.communicate()
        except BaseException:
            # Killed at once, it could not end the apt or the compiler that it has started.
            _await_end(process)
            raise
    return Result(process.returncode, (output or b"").decode(errors="replace"))


def end_on_termination() -> None:
    """Let SIGTERM interrupt this tool like Ctrl-C, so that it ends what it is running.

    Programs run in sessions of their own; without this they would outlive a `timeout` or a
    cancelled job.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def _finish(
    process: "subprocess.Popen[bytes]",
    words: list[str],
    *,
    timeout_seconds: float,
    log: Path | None,
    text: str | None,
) -> Result:
    try:
        given = None if text is None else text.encode()
        output, errors = process.communicate(given, timeout=timeout_seconds)
    except subprocess.TimeoutExpired as error:
        _end_group(process)
        raise CommandError(words, status=None, log=log, timeout_seconds=timeout_seconds) from error
    except BaseException:
        # Ctrl-C must not leave an apt or a compiler working in the background.
        _end_group(process)
        raise
    return Result(
        process.returncode,
        (output or b"").decode(errors="replace"),
        (errors or b"").decode(errors="replace"),
    )


def _await_end(process: "subprocess.Popen[bytes]") -> None:
    # Ctrl-C has reached it as well; a SIGTERM to this process alone has not.
    for end in (process.terminate, process.kill):
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=_END_SECONDS)
            return
        end()


def _end_group(process: "subprocess.Popen[bytes]") -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()


def _environment(added: Mapping[str, str]) -> dict[str, str]:
    # iptables and ip are there for everybody, but on few users' PATH.
    path = os.environ.get("PATH", os.defpath)
    return {**os.environ, "PATH": f"{path}:/usr/local/sbin:/usr/sbin:/sbin", **added}


def _announce(log: Path, words: list[str]) -> None:
    with log.open("a", encoding="utf-8") as file:
        file.write(f"$ {' '.join(words)}\n")


def _words(command: Sequence[str | Path]) -> list[str]:
    return [str(word) for word in command]
