"""What telemetry may cost: two variants of a process each, of which one costs little more.

Before: DECISIONS.md (D-0051) says what is promised.
After: ``cli`` measures each promise with processes of its own; ``reporting`` judges.
"""

from typing import NamedTuple

BARE, COUNTED, AT_ZERO, AT_TENTH = "bare", "counted", "at 0", "at 10 %"
"""Nothing; metrics; metrics and a collector, but nobody traced; one request in ten traced."""


class Promise(NamedTuple):
    """That ``variant`` costs less than ``most_share`` more than ``beside``."""

    variant: str
    beside: str
    most_share: float
    """Of all that a task takes from request to result."""
    sampling_ratio: float
    """Of the processes that are measured: none sees more spans than its variant makes."""


PROMISES = (
    Promise(AT_ZERO, COUNTED, most_share=0.01, sampling_ratio=0.0),
    Promise(AT_TENTH, BARE, most_share=0.05, sampling_ratio=0.1),
)
