"""One ``up``, ``down`` or build at a time.

Two terminals, or make and a test, may start the tool at once. The second waits and says for
whom. The kernel drops the lock with its process, so that an interrupted run blocks nobody.

Before: ``cli`` around commands that change the cluster; ``builds`` around one program.
After: the code inside runs alone on this machine.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from hack.tooling.errors import ToolError

PATIENCE_SECONDS = 2400.0
"""A cold ``up`` on two busy cores took under 20 minutes; twice that means it hangs."""

_POLL_SECONDS = 0.2


@contextlib.contextmanager
def hold(path: Path, purpose: str, *, say: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock at ``path`` while the body runs.

    Raises:
        ToolError: another process kept it for longer than any run takes.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        _acquire(file.fileno(), path, say)
        file.truncate(0)
        file.write(f"{purpose} (process {os.getpid()})")
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)


def _acquire(descriptor: int, path: Path, say: Callable[[str], None]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    is_announced = False
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = path.read_text(encoding="utf-8").strip() or "another run"
            if time.monotonic() > deadline:
                raise ToolError(
                    f"{holder} has been at work for over {PATIENCE_SECONDS / 60:.0f} minutes",
                    advice="look what it waits for, end it, and run this again",
                ) from None
            if not is_announced:
                say(f"waiting for {holder}, which is at work on the same cluster ...")
                is_announced = True
            time.sleep(_POLL_SECONDS)
        else:
            return
