"""Tests of one cluster in two processes: which stay together, and which run alone.

Most of the time goes by while pods start and promises run out, so two do more than one. They share
the cluster and its operator: a test that takes that away from everybody, or that holds the product
to a time, is marked ``alone``. It waits until the other process is between two tests.

Before: pytest has been told to run in processes, or has not.
After: the tests of a folder run in their order; nothing runs beside those marked.
"""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

_is_alone = ContextVar("is_alone", default=False)


class ByFolder(LoadScopeScheduling):  # type: ignore[misc]  # untyped
    """Keeps the tests of a folder in one process, for they share platforms."""

    def _split_scope(self, nodeid: str) -> str:
        return folder_of(nodeid)


def folder_of(nodeid: str) -> str:
    """Return the folder of a test's module."""
    return nodeid.partition("::")[0].rpartition("/")[0]


@contextmanager
def a_turn(*, alone: bool, folder: Path | None = None) -> Iterator[None]:
    """Have the cluster with others, or alone; ``folder`` holds the locks."""
    folder, user = folder or Path(tempfile.gettempdir()), os.getuid()
    paths = folder / f"orchestrator-tests-door-{user}", folder / f"orchestrator-tests-room-{user}"
    with paths[0].open("w") as door, paths[1].open("w") as room:
        # Who waits for the room keeps the door: nobody who comes later goes first.
        fcntl.flock(door, fcntl.LOCK_EX)
        fcntl.flock(room, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(door, fcntl.LOCK_UN)
        token = _is_alone.set(alone)
        try:
            yield
        finally:
            _is_alone.reset(token)


def is_alone() -> bool:
    """Whether no other test runs."""
    return _is_alone.get()
