"""What the tools of this folder raise, and how a person gets to read it.

A developer's first contact with the project is often a machine that lacks something. Every
failure here therefore carries two sentences, what was found and what to do, and, where a
program failed, the end of its log.

Before: raised by any module under ``hack/``.
After: a tool's ``main`` prints ``explain(error)`` and exits with 1.
"""

from collections.abc import Sequence
from pathlib import Path

SHOWN_LINES = 15
"""A compiler's or apt's reason is nearly always within its last ten lines."""

_TAIL_BYTES = 32_768


class ToolError(Exception):
    """A tool cannot go on; the reader can do something about it."""

    def __init__(self, found: str, *, advice: str = "", log: Path | None = None) -> None:
        super().__init__(found)
        self.found = found
        self.advice = advice
        self.log = log


class CommandError(ToolError):
    """A program that a tool started failed, or did not end in time."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        status: int | None,
        output: str = "",
        log: Path | None = None,
        timeout_seconds: float | None = None,
    ) -> None:
        shown = " ".join(command)
        shown = shown if len(shown) <= 160 else f"{shown[:157]}..."  # noqa: PLR2004 - two lines of a terminal
        ending = (
            f"did not end within {timeout_seconds} s" if status is None else f"ended with {status}"
        )
        super().__init__(f"`{shown}` {ending}", log=log)
        self.command = tuple(command)
        self.status = status
        self.output = output


class ToldError(ToolError):
    """Another tool of ours failed and has said why; repeating it would only hide that."""

    def __init__(self, status: int) -> None:
        super().__init__(f"see above (status {status})")
        self.status = status


def explain(error: ToolError) -> str:
    """Write an error as the paragraph a developer needs: found, end of the log, advice."""
    parts = [f"error: {error.found}"]
    output = error.output if isinstance(error, CommandError) else ""
    lines = output.splitlines()[-SHOWN_LINES:]
    if not lines and error.log:
        lines = read_last_lines(error.log)
    parts += [f"    {line}" for line in lines]
    if error.log:
        parts.append(f"  the whole log: {error.log}")
    if error.advice:
        parts.append(f"  what to do: {error.advice}")
    return "\n".join(parts)


def read_last_lines(log: Path, *, count: int = SHOWN_LINES) -> list[str]:
    """Read the end of a log of any size; a log that is not there has no lines."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    return [line.rstrip() for line in text.splitlines() if line.strip()][-count:]
