"""The node's processes: started in the background, found again, ended, never mistaken.

A record holds a process's id and its start time in ticks since boot. A pid alone is recycled,
after a reboot within seconds; id and start time together name one process, and nothing else is
ever signalled.

The process writes its own identity, before it becomes the program that is wanted: however
suddenly this tool is ended, there is no process without a record.

Before: ``components`` says what to run.
After: records in the state directory, read by ``status``, ``down`` and the next ``up``.
"""

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

LOG_LIMIT_BYTES = 32 * 1024 * 1024
"""At a start, a longer log makes room; the one before it is kept."""

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_POLL_SECONDS = 0.05
_INTRODUCTION_SECONDS = 5.0


_INTRODUCE = 'cat /proc/$$/stat >"$0" && exec "$@"'
"""A shell that writes who it is and then turns into the program; id and start time stay."""


@dataclass(frozen=True)
class Record:
    """A process that was started, as found on disk."""

    pid: int
    start_ticks: int
    boot_id: str
    fingerprint: str
    """Hash of what it was started with; another one means it must be started anew."""
    started_at: float
    """Seconds since the epoch."""


def start(
    command: Sequence[str],
    *,
    record: Path,
    log: Path,
    fingerprint: str,
    env: Mapping[str, str] | None = None,
) -> None:
    """Start a process that outlives this tool."""
    record.parent.mkdir(parents=True, exist_ok=True)
    log.parent.mkdir(parents=True, exist_ok=True)
    _make_room(log)
    identity = _identity_of(record)
    identity.unlink(missing_ok=True)
    described = {"boot_id": _read_boot_id(), "fingerprint": fingerprint, "started_at": time.time()}
    record.write_text(json.dumps(described), encoding="utf-8")
    with log.open("ab") as sink:
        process = subprocess.Popen(
            ["/bin/sh", "-c", _INTRODUCE, str(identity), *command],
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(env or {})},
            cwd="/",
            start_new_session=True,
        )
    deadline = time.monotonic() + _INTRODUCTION_SECONDS
    while read_record(record) is None and process.poll() is None and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS / 10)
    # The process stays when this tool ends; Popen would warn about that.
    process.returncode = 0


def read_record(record: Path) -> Record | None:
    """Read a record; nothing when there is none or it is incomplete."""
    with contextlib.suppress(OSError, ValueError, TypeError, IndexError, KeyError):
        described = json.loads(record.read_text(encoding="utf-8"))
        stat = _identity_of(record).read_text(encoding="utf-8", errors="replace")
        start_ticks = parse_start_ticks(stat)
        if start_ticks is not None:
            return Record(pid=int(stat.split()[0]), start_ticks=start_ticks, **described)
    return None


def forget(record: Path) -> None:
    """Remove a record."""
    record.unlink(missing_ok=True)
    _identity_of(record).unlink(missing_ok=True)


def find_running(record: Path) -> Record | None:
    """Return the record of a process if that very process still runs."""
    written = read_record(record)
    return written if written and is_running(written) else None


def is_running(record: Record) -> bool:
    """Say whether the process of a record, and no other with its pid, runs."""
    if _read_boot_id() != record.boot_id:
        return False
    _bury(record.pid)
    return _read_start_ticks(record.pid) == record.start_ticks


def end(record: Path, *, patience_seconds: float) -> bool:
    """End a process: ask, wait, insist. Its record goes too.

    Returns:
        True if it had to be killed.
    """
    running = find_running(record)
    is_killed = False
    if running:
        _signal(running, signal.SIGTERM)
        if not wait_for_end(running, patience_seconds):
            is_killed = True
            _signal(running, signal.SIGKILL)
            wait_for_end(running, patience_seconds)
    forget(record)
    return is_killed


def wait_for_end(record: Record, timeout_seconds: float) -> bool:
    """Wait until a process is gone; False when time is up first."""
    deadline = time.monotonic() + timeout_seconds
    while is_running(record):
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def fingerprint(command: Sequence[str], files: Sequence[Path]) -> str:
    """Hash a command and the content of the files that it reads at its start."""
    digest = hashlib.sha256("\0".join(command).encode())
    for path in files:
        digest.update(f"\0{path}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _signal(record: Record, number: signal.Signals) -> None:
    # Checked a moment ago; a pid is not recycled within microseconds.
    with contextlib.suppress(ProcessLookupError):
        os.kill(record.pid, number)


def _identity_of(record: Path) -> Path:
    return record.with_suffix(".stat")


def _read_boot_id() -> str:
    return _BOOT_ID.read_text(encoding="ascii").strip()


def _bury(pid: int) -> None:
    # A child of this very run stays a zombie, "running" to /proc, until it is waited for.
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def _read_start_ticks(pid: int) -> int | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return parse_start_ticks(stat)


def parse_start_ticks(stat: str) -> int | None:
    """Read the start time of ``/proc/PID/stat``; a zombie has ended and has none.

    The name in parentheses may itself hold spaces and parentheses; proc(5) field 22.
    """
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in ("Z", "X") else int(fields[19])


def _make_room(log: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        if log.stat().st_size > LOG_LIMIT_BYTES:
            log.replace(log.with_suffix(".log.1"))
