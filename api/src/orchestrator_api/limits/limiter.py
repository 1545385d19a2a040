"""Decide about asks: in Redis, or in memory while Redis is away.

Concurrent asks share one round trip. Redis away neither opens the door nor
closes it, and costs one request its deadline: the connection's breaker tells
all others at once.

Before: ``requests`` knows who asks.
After: the request goes on or is refused; a metric has counted where that was decided.
"""

from collections.abc import Sequence
from typing import Protocol

from orchestrator_api.limits.local_buckets import LocalBuckets
from orchestrator_api.limits.policies import Policy
from orchestrator_api.metrics import LimitMetrics
from orchestrator_core.batching import Batcher
from orchestrator_core.errors import OverloadedError, StoreUnavailableError
from orchestrator_core.rate_limits import Ask, Decision
from orchestrator_core.spans import child_span

MAX_BATCH = 256
"""Redis serves nobody else meanwhile: 256 buckets take it well below a millisecond."""
MAX_WAITING = 5_000
"""More than this process answers in a second; beyond, the memory decides at once."""


class SharedBuckets(Protocol):
    """Buckets that all replicas share; see ``redis.token_buckets``."""

    @property
    def is_answering(self) -> bool:
        """Whether it is worth asking."""

    async def take_many(self, asks: Sequence[Ask]) -> list[Decision]:
        """Return one decision per ask, or raise ``StoreUnavailableError``."""


class Limiter:
    """Decides about asks. ``run`` must be running."""

    def __init__(self, shared: SharedBuckets, local: LocalBuckets, metrics: LimitMetrics) -> None:
        self._shared = shared
        self._local = local
        self._metrics = metrics
        self._asks: Batcher[Ask, Decision] = Batcher(
            "asks for tokens", shared.take_many, max_batch=MAX_BATCH, max_waiting=MAX_WAITING
        )
        metrics.tell_degraded_by(lambda: not shared.is_answering)

    async def run(self) -> None:
        """Ask Redis for those who wait, until cancelled."""
        await self._asks.run()

    async def take(self, policy: Policy, key: bytes) -> Decision:
        """Take a token from the bucket ``key``. Always decides."""
        ask = Ask(key, policy.limit)
        if self._shared.is_answering:
            try:
                with child_span("take a token"):
                    decision = await self._asks.submit(ask)
            except (StoreUnavailableError, OverloadedError):
                pass
            else:
                self._metrics.count(policy.scope, "redis", is_allowed=decision.is_allowed)
                return decision
        decision = self._local.take(ask)
        self._metrics.count(policy.scope, "memory", is_allowed=decision.is_allowed)
        return decision
