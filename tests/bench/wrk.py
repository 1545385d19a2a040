"""Run wrk once and read what it measured.

Before: ``rounds`` says where, for how long and with whose tokens.
After: ``comparing`` gets a ``Load``.
"""

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

CONNECTIONS = 64
"""Enough to keep one API process busy all the time, few enough that a request waits for no other
than those of its own batch or two."""
_SCRIPT = Path(__file__).parent / "submit.lua"
_PATIENCE_SECONDS = 30.0


class BenchError(Exception):
    """The measurement can't be trusted; the message says what was expected and what was found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What one run of wrk saw."""

    duration_seconds: float
    answers: int
    p50_ms: float
    p99_ms: float


def run_wrk(url: str, tokens: Sequence[str], *, seconds: int) -> Load:
    """Submit tasks for ``seconds`` and return what came of it.

    Raises:
        BenchError: wrk could not run, or an answer was no success.
    """
    command = ["wrk", "-t", "1", "-c", str(CONNECTIONS), "-d", f"{seconds}s", "--timeout", "10s"]
    ended = subprocess.run(
        [*command, "-s", str(_SCRIPT), url, "--", *tokens],
        capture_output=True,
        text=True,
        timeout=seconds + _PATIENCE_SECONDS,
        check=False,
    )
    if ended.returncode != 0:
        raise BenchError(f"wrk ended with {ended.returncode}: {ended.stderr or ended.stdout}")
    return parse_report(ended.stdout)


def parse_report(output: str) -> Load:
    """Return what the last line of wrk's output, made by ``submit.lua``, says.

    Raises:
        BenchError: there is no such line, no answer, or one that was no success.
    """
    try:
        report = json.loads(output.splitlines()[-1])
        refused, failed = report["refused"], report["failed"]
        load = Load(
            duration_seconds=report["duration_us"] / 1e6,
            answers=report["answers"],
            p50_ms=report["p50_us"] / 1e3,
            p99_ms=report["p99_us"] / 1e3,
        )
    except (IndexError, KeyError, TypeError, ValueError) as error:
        raise BenchError(f"expected submit.lua's line of JSON, wrk wrote: {output!r}") from error
    if refused or failed:
        raise BenchError(
            f"expected only 201, found {refused} answers of 400 and above"
            f" and {failed} broken connections or timeouts among {load.answers}"
        )
    if load.answers == 0:
        raise BenchError("expected 201s, wrk got no answer at all")
    return load
