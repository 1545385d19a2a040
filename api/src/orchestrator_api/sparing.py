"""Spare the leases that ran out while Postgres was away: their workers may live.

Nobody can extend a lease without Postgres, so an outage as long as a lease lets all of them run
out. A worker that lives extends its own as soon as Postgres answers, unless a sweep was quicker.

Before: ``dispatching`` asks Postgres about once a second, and tells how that went.
After: for some seconds after an outage it leaves alone what only a lost worker should lose.
"""

import math
from collections.abc import Callable

OUTAGE_SECONDS = 5.0
"""A lease of 30 s outlasts 20 s without an extension. A busy server that fails a sweep now and
then is no outage: else it could keep lost tasks waiting for as long as it is busy."""

GRACE_SECONDS = 10.0
"""A worker tries again 2 s after a try that failed, which took 4 s at most: within 6 s all who live
have extended. Tasks of lost workers wait so much longer, after the 30 s of their lease."""


class Sparing:
    """Remembers since when Postgres has answered, as one process sees it.

    A process that starts knows of no answer, so its first one counts as the end of an outage: a
    node that fails may take Postgres and a replica along, and the replica comes back last. Where
    others sweep, its restart delays nothing.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        """Begin without an answer.

        Args:
            clock: seconds, only ever forward.
        """
        self._clock = clock
        self._silent_since: float | None = -math.inf
        self._spare_until = -math.inf

    @property
    def is_on(self) -> bool:
        """Whether leases that ran out are to be left alone now."""
        return self._is_outage() or self._clock() < self._spare_until

    def note_answer(self) -> None:
        """Postgres has answered."""
        if self._is_outage():
            self._spare_until = self._clock() + GRACE_SECONDS
        self._silent_since = None

    def note_silence(self) -> None:
        """Postgres has not answered."""
        if self._silent_since is None:
            self._silent_since = self._clock()

    def _is_outage(self) -> bool:
        since = self._silent_since
        return since is not None and self._clock() - since >= OUTAGE_SECONDS
