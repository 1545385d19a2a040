"""One run at a time of what must not be done twice at once.

Two terminals, or make and a test, may start a tool at once. The second waits and says for
whom. The kernel drops the lock with its process, so that an interrupted run blocks nobody.

Before: ``hack.cluster`` around ``up``, ``down`` and each build; ``hack.images`` around builds.
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
"""A cold ``hack.cluster up`` on two busy cores took under 20 minutes; twice that means it hangs."""

_POLL_SECONDS = 0.2


@contextlib.contextmanager
def hold(path: Path, activity: str, *, say: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock at ``path`` while the body runs.

    Args:
        path: the lock; its folder is made.
        activity: what the body does, e.g. "building images"; others who wait are told.
        say: shows a person that, and for whom, this run waits.

    Raises:
        ToolError: another process kept it for longer than any run takes.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        _acquire(file.fileno(), path, say)
        file.truncate(0)
        file.write(f"process {os.getpid()}, which is {activity}")
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
                    f"waited {PATIENCE_SECONDS / 60:.0f} minutes for {holder}",
                    advice="look what that process waits for, end it, and run this again",
                ) from None
            if not is_announced:
                say(f"waiting for {holder} ...")
                is_announced = True
            time.sleep(_POLL_SECONDS)
        else:
            return
