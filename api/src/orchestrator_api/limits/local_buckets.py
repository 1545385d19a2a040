"""Token buckets in this process's memory, for while Redis is away.

Each replica refills its share only, so all together refill what Redis would
have. Somebody may empty a full bucket at each replica once; that is the price
for refusing nobody who has asked for nothing yet.

Before: ``limiter`` has found that Redis does not answer.
After: each ask has its decision.
"""

import time
from collections import OrderedDict
from collections.abc import Callable

from orchestrator_core.rate_limits import MICROSECONDS, Ask, Decision, RateLimit, allow, refuse

MAX_BUCKETS = 50_000
"""About 10 MB. Beyond, those who have not asked for longest begin again with a full bucket."""


class LocalBuckets:
    """Decides about asks from what it remembers."""

    def __init__(
        self,
        *,
        replicas: int,
        clock: Callable[[], float] = time.monotonic,
        max_buckets: int = MAX_BUCKETS,
    ) -> None:
        self._replicas = replicas
        self._clock = clock
        self._max_buckets = max_buckets
        # When each bucket will be full again, in microseconds of the clock; longest unasked first.
        self._full_at_us: OrderedDict[bytes, float] = OrderedDict()
        self._shares: dict[RateLimit, RateLimit] = {}

    def take(self, ask: Ask) -> Decision:
        """Take a token, if there is one."""
        limit = self._share_of(ask.limit)
        now_us = self._clock() * MICROSECONDS
        full_us = limit.capacity * limit.interval_us
        until_full_us = max(0.0, self._full_at_us.get(ask.key, 0.0) - now_us)
        if until_full_us + limit.interval_us > full_us:
            return refuse(limit, until_full_us)
        until_full_us += limit.interval_us
        self._full_at_us[ask.key] = now_us + until_full_us
        self._full_at_us.move_to_end(ask.key)
        if len(self._full_at_us) > self._max_buckets:
            self._full_at_us.popitem(last=False)
        return allow(limit, until_full_us)

    def _share_of(self, limit: RateLimit) -> RateLimit:
        share = self._shares.get(limit)
        if share is None:
            share = RateLimit(limit.capacity, limit.refill_per_second / self._replicas)
            self._shares[limit] = share
        return share
