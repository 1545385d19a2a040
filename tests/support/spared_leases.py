"""Whether leases that ran out are spared, by a clock that stands until a test moves it.

Before: a test builds a sweep.
After: the sweep believes that Postgres has answered for a while, until told otherwise.
"""

from orchestrator_api.sparing import GRACE_SECONDS, Sparing


class AClock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def sparing_nothing(clock: AClock | None = None) -> Sparing:
    """Return what spares no lease: Postgres has answered for longer than the grace."""
    clock = clock or AClock()
    sparing = Sparing(clock)
    sparing.note_answer()
    clock.now += GRACE_SECONDS
    return sparing
