"""Waiting for something to become true, with a deadline and a way to notice that it never will.

Before: ``starting`` and ``nodes``.
After: the caller goes on, or an error says what was waited for.
"""

import time
from collections.abc import Callable

from hack.tooling.errors import ToolError

_POLL_SECONDS = 0.1


def wait_until(
    is_true: Callable[[], bool],
    *,
    what: str,
    timeout_seconds: float,
    advice: str,
    check: Callable[[], None] = lambda: None,
) -> None:
    """Poll until ``is_true``.

    Args:
        is_true: asked ten times a second.
        what: completes the sentence "... within N s", e.g. "the node was not ready".
        timeout_seconds: when to give up.
        advice: what the reader can do then.
        check: raises once waiting is pointless.

    Raises:
        ToolError: time is up.
    """
    deadline = time.monotonic() + timeout_seconds
    while not is_true():
        check()
        if time.monotonic() > deadline:
            raise ToolError(f"{what} within {timeout_seconds:.0f} s", advice=advice)
        time.sleep(_POLL_SECONDS)
