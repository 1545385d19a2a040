"""Where a decision is made: in Redis, or in memory while Redis is away."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from prometheus_client import CollectorRegistry

from orchestrator_api.limits.limiter import Limiter
from orchestrator_api.limits.local_buckets import LocalBuckets
from orchestrator_api.limits.policies import USER, Policy
from orchestrator_api.metrics import LimitMetrics
from orchestrator_core.errors import StoreUnavailableError
from orchestrator_core.rate_limits import Ask, Decision, RateLimit

POLICY = Policy(USER, RateLimit(capacity=2, refill_per_second=0.001))
FROM_REDIS = Decision(is_allowed=True, remaining=77, reset_seconds=1, retry_after_seconds=0)


class SomeBuckets:
    """Shared buckets that answer, fail, or are known to be away."""

    def __init__(self) -> None:
        self.is_answering = True
        self.fails = False
        self.batches: list[int] = []
        self.entered = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def take_many(self, asks: Sequence[Ask]) -> list[Decision]:
        self.batches.append(len(asks))
        self.entered.set()
        await self.may_answer.wait()
        if self.fails:
            raise StoreUnavailableError("redis", "take")
        return [FROM_REDIS] * len(asks)


class Bench:
    """A limiter over ``shared`` and what its metrics say."""

    def __init__(self, shared: SomeBuckets) -> None:
        self.registry = CollectorRegistry()
        self.limiter = Limiter(shared, LocalBuckets(replicas=1), LimitMetrics(self.registry))

    def count(self, decision: str, source: str) -> float:
        labels = {"scope": "user", "decision": decision, "source": source}
        name = "orchestrator_api_rate_limit_decisions_total"
        return self.registry.get_sample_value(name, labels) or 0.0

    @property
    def degraded(self) -> float | None:
        return self.registry.get_sample_value("orchestrator_api_rate_limit_degraded")


@asynccontextmanager
async def a_bench(shared: SomeBuckets) -> AsyncIterator[Bench]:
    bench = Bench(shared)
    running = asyncio.create_task(bench.limiter.run())
    yield bench
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_redis_decides_while_it_answers() -> None:
    async with a_bench(SomeBuckets()) as bench:
        decision = await bench.limiter.take(POLICY, b"ada")

    assert decision == FROM_REDIS
    assert bench.count("allowed", "redis") == 1
    assert bench.degraded == 0


async def test_what_is_asked_during_a_round_trip_shares_the_next_one() -> None:
    shared = SomeBuckets()
    shared.may_answer.clear()
    async with a_bench(shared) as bench:
        asks = [asyncio.create_task(bench.limiter.take(POLICY, b"ada"))]
        await shared.entered.wait()
        asks += [asyncio.create_task(bench.limiter.take(POLICY, b"ada")) for _ in range(9)]
        await asyncio.sleep(0)

        shared.may_answer.set()
        await asyncio.gather(*asks)

    assert shared.batches == [1, 9]


async def test_memory_decides_when_redis_fails_and_closes_to_nobody_new_nor_opens_to_all() -> None:
    shared = SomeBuckets()
    shared.fails = True
    async with a_bench(shared) as bench:
        decisions = [await bench.limiter.take(POLICY, b"ada") for _ in range(3)]
        fresh = await bench.limiter.take(POLICY, b"grace")

    assert [each.is_allowed for each in decisions] == [True, True, False]
    assert fresh.is_allowed
    assert bench.count("allowed", "memory") == 3
    assert bench.count("refused", "memory") == 1


async def test_a_redis_known_to_be_away_is_not_asked_and_the_metric_says_so() -> None:
    shared = SomeBuckets()
    shared.is_answering = False
    async with a_bench(shared) as bench:
        await bench.limiter.take(POLICY, b"ada")
        degraded = bench.degraded
        shared.is_answering = True
        decision = await bench.limiter.take(POLICY, b"ada")

    assert shared.batches == [1]
    assert degraded == 1
    assert decision == FROM_REDIS
    assert bench.degraded == 0
