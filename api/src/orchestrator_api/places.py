"""Places for what goes on for long: so many in a process, so many for a user.

A stream, an upload, a download costs memory as long as it lasts, and some last for a
quarter of an hour. Rate limits count beginnings only.

Before: an endpoint knows the caller.
After: the place is held until what it is for has ended.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from orchestrator_api.errors import RateLimitedError
from orchestrator_core.errors import OverloadedError
from orchestrator_core.tasks import UserId

RETRY_AFTER_SECONDS = 5
"""Most uploads end within seconds, a long poll within a minute, a stream within a quarter of an
hour."""


class Places:
    """How many are taken, by user."""

    def __init__(self, what: str, *, total: int, per_user: int) -> None:
        """Take what they are for, in the plural; it stands in the log when there are too many."""
        self._what = what
        self._total = total
        self._per_user = per_user
        self._taken: Counter[UserId] = Counter()

    @property
    def taken_count(self) -> int:
        """How many places are taken."""
        return self._taken.total()

    @contextmanager
    def taking(self, user_id: UserId) -> Iterator[None]:
        """Hold a place until the context ends.

        Raises:
            OverloadedError: this process has none left.
            RateLimitedError: the user has none left.
        """
        if self._taken[user_id] >= self._per_user:
            raise RateLimitedError(RETRY_AFTER_SECONDS, {"Retry-After": str(RETRY_AFTER_SECONDS)})
        if self.taken_count >= self._total:
            raise OverloadedError(self._what, self._total)
        self._taken[user_id] += 1
        try:
            yield
        finally:
            self._taken[user_id] -= 1
            if not self._taken[user_id]:
                del self._taken[user_id]
