"""An operator that dies in the middle of a pass.

Before: a test has a cluster, in memory or a real one.
After: a pass over it ends before a write of the test's choice.
"""

from collections.abc import Callable
from typing import Any, NoReturn

from orchestrator_operator.applying import Cluster

WRITES = frozenset({"create", "apply", "merge", "delete"})


class Dying:
    """A cluster before whose n-th write the process dies."""

    def __init__(self, inner: Cluster, writes_left: int, die: Callable[[], NoReturn]) -> None:
        self._inner = inner
        self._writes_left = writes_left
        self._die = die

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)
        if name not in WRITES:
            return method

        async def write(*arguments: Any, **options: Any) -> Any:
            if self._writes_left == 0:
                self._die()
            self._writes_left -= 1
            return await method(*arguments, **options)

        return write
