"""Token buckets in Redis, shared by all replicas: one script, one round trip, Redis's own clock.

Asks of one batch for the same bucket are added up first, so a burst of one user
costs Redis as much as a single request.

Before: the API's ``limits`` collects concurrent asks with a ``Batcher``.
After: each ask has its decision.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from importlib.resources import files
from typing import cast

from redis.asyncio import Redis
from redis.exceptions import NoScriptError

from orchestrator_core.rate_limits import Ask, Decision, RateLimit, allow, refuse
from orchestrator_core.redis.connections import RedisConnection

_SCRIPT = (files(__package__) / "token_buckets.lua").read_text(encoding="utf-8")
_SHA = hashlib.sha1(_SCRIPT.encode(), usedforsecurity=False).hexdigest()
"""Redis names scripts so."""


class TokenBuckets:
    """Decides about asks. Stateless: all that is known is in Redis, until it expires."""

    def __init__(self, redis: RedisConnection) -> None:
        self._redis = redis

    @property
    def is_answering(self) -> bool:
        """Whether it is worth asking; see ``RedisConnection``."""
        return self._redis.is_answering

    async def take_many(self, asks: Sequence[Ask]) -> list[Decision]:
        """Take one token for each ask, first come first served.

        Returns:
            One decision per ask, in order.

        Raises:
            StoreUnavailableError: Redis did not answer in time. Tokens may have been taken.
        """
        wanted = Counter(ask.key for ask in asks)
        limits = {ask.key: ask.limit for ask in asks}
        arguments = [part for key in wanted for part in _describe(limits[key], wanted[key])]

        async def evaluate(client: Redis) -> list[int]:
            return await _evaluate(client, [*wanted, *arguments], keys=len(wanted))

        numbers = iter(await self._redis.run(f"take {len(asks)} tokens", evaluate))
        # Whoever comes first finds the bucket as it was before the others of his batch.
        buckets = {key: _Bucket(limits[key], next(numbers), next(numbers)) for key in wanted}
        return [buckets[ask.key].decide_next() for ask in asks]


class _Bucket:
    """One bucket's share of an answer, dealt out ask by ask."""

    __slots__ = ("_granted", "_limit", "_until_full_us")

    def __init__(self, limit: RateLimit, granted: int, until_full_us: int) -> None:
        self._limit = limit
        self._granted = granted
        self._until_full_us = until_full_us

    def decide_next(self) -> Decision:
        if self._granted == 0:
            return refuse(self._limit, self._until_full_us)
        self._granted -= 1
        return allow(self._limit, self._until_full_us - self._granted * self._limit.interval_us)


def _describe(limit: RateLimit, wanted: int) -> tuple[bytes, bytes, bytes]:
    return b"%d" % limit.capacity, b"%d" % limit.interval_us, b"%d" % wanted


async def _evaluate(client: Redis, arguments: list[bytes], *, keys: int) -> list[int]:
    try:
        answer = await client.evalsha(_SHA, keys, *arguments)
    except NoScriptError:
        # A new Redis, or one that has forgotten; EVAL also makes it remember.
        answer = await client.eval(_SCRIPT, keys, *arguments)
    return cast("list[int]", answer)
