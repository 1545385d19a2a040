"""How often somebody may ask: a limit, an ask, and what is decided about it.

A token bucket holds ``capacity`` tokens and refills steadily; each ask takes
one. It is kept as one number, the time at which it will be full again: every
token taken moves that time on by one interval, and a bucket whose time has
passed is full (known as the generic cell rate algorithm).

Before: the API's ``limits`` say who asks, and how often he may.
After: ``redis.token_buckets`` or a bucket in the process's memory decides.
"""

import math
from dataclasses import dataclass, field
from typing import NamedTuple

MICROSECONDS = 1_000_000


@dataclass(frozen=True, slots=True)
class RateLimit:
    """Over any t seconds at most ``capacity + refill_per_second * t`` asks are allowed."""

    capacity: int
    """Tokens of a full bucket, at least 1: what may be asked for at once."""
    refill_per_second: float
    """Tokens a second, above 0, at most one a microsecond."""
    interval_us: int = field(init=False)
    """Microseconds for one token, rounded up, so that rounding never allows more."""

    def __post_init__(self) -> None:
        interval_us = math.ceil(MICROSECONDS / self.refill_per_second)
        object.__setattr__(self, "interval_us", interval_us)


class Ask(NamedTuple):
    """Somebody wants one token."""

    key: bytes
    """Names the bucket; all asks of one key have one limit."""
    limit: RateLimit


class Decision(NamedTuple):
    """What became of an ask."""

    is_allowed: bool
    remaining: int
    """Whole tokens left; 0 when not allowed."""
    reset_seconds: float
    """Until the bucket is full again."""
    retry_after_seconds: float
    """Until there is a token again; 0 when allowed."""


def allow(limit: RateLimit, until_full_us: float) -> Decision:
    """Return the decision for an ask that has taken a token.

    Args:
        limit: of the bucket.
        until_full_us: from now, the token taken already counted.
    """
    remaining = int((limit.capacity * limit.interval_us - until_full_us) // limit.interval_us)
    return Decision(
        is_allowed=True,
        remaining=remaining,
        reset_seconds=until_full_us / MICROSECONDS,
        retry_after_seconds=0.0,
    )


def refuse(limit: RateLimit, until_full_us: float) -> Decision:
    """Return the decision for an ask that finds less than one token.

    Args:
        limit: of the bucket.
        until_full_us: from now.
    """
    until_token_us = until_full_us - (limit.capacity - 1) * limit.interval_us
    return Decision(
        is_allowed=False,
        remaining=0,
        reset_seconds=until_full_us / MICROSECONDS,
        retry_after_seconds=until_token_us / MICROSECONDS,
    )
