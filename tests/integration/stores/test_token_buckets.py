"""Nobody gets more than his limit, whoever asks, however often, on Redis's clock alone."""

import asyncio
import itertools
import time
import uuid
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import services
from orchestrator_core.errors import StoreUnavailableError
from orchestrator_core.rate_limits import Ask, Decision, RateLimit
from orchestrator_core.redis.connections import RedisConnection
from orchestrator_core.redis.token_buckets import TokenBuckets
from orchestrator_core.settings import RedisSettings

SLOW = RateLimit(capacity=3, refill_per_second=0.001)
"""Refills nothing while a test runs."""


@dataclass(frozen=True)
class Asked:
    """One ask, with what the asking client saw of the time."""

    began_at: float
    ended_at: float
    decision: Decision


@pytest.fixture
def buckets(redis: RedisConnection) -> TokenBuckets:
    return TokenBuckets(redis)


def a_key() -> bytes:
    return f"limit:test:{uuid.uuid4().hex}".encode()


async def let_pass(redis: RedisConnection, key: bytes, microseconds: int) -> None:
    """Make a bucket as it will be later: fuller by what refills until then."""
    stored = await redis.run("read", lambda client: client.get(key))
    if stored is not None:
        value = str(int(stored) - microseconds)
        await redis.run("write", lambda client: client.set(key, value, keepttl=True))


async def ask(buckets: TokenBuckets, asks: Sequence[Ask]) -> list[Asked]:
    began_at = time.monotonic()
    decisions = await buckets.take_many(asks)
    ended_at = time.monotonic()
    return [Asked(began_at, ended_at, decision) for decision in decisions]


def most_over_the_bound(asked: Sequence[Asked], limit: RateLimit) -> float:
    """Return by how much any stretch of time has more admissions than B + R*t; below 0 is good."""
    allowed = sorted(
        (each for each in asked if each.decision.is_allowed), key=lambda each: each.ended_at
    )
    excess = -float(limit.capacity)
    for first in range(len(allowed)):
        began_at = allowed[first].began_at
        for count, last in enumerate(allowed[first:], start=1):
            # Redis decided about all of them between the first one's start and the last one's end.
            began_at = min(began_at, last.began_at)
            may = limit.capacity + limit.refill_per_second * (last.ended_at - began_at)
            excess = max(excess, count - may)
    return excess


async def test_a_full_bucket_gives_its_capacity_at_once_and_then_says_when_to_come_back(
    buckets: TokenBuckets,
) -> None:
    limit = RateLimit(capacity=3, refill_per_second=0.1)

    decisions = await buckets.take_many([Ask(a_key(), limit)] * 5)

    assert [each.is_allowed for each in decisions] == [True, True, True, False, False]
    assert [each.remaining for each in decisions] == [2, 1, 0, 0, 0]
    assert [each.reset_seconds for each in decisions] == [10, 20, 30, 30, 30]
    assert [each.retry_after_seconds for each in decisions] == [0, 0, 0, 10, 10]


async def test_a_batch_of_many_buckets_counts_each_alone(buckets: TokenBuckets) -> None:
    one, other = a_key(), a_key()
    generous = RateLimit(capacity=100, refill_per_second=0.001)

    decisions = await buckets.take_many(
        [Ask(one, SLOW), Ask(other, generous), *[Ask(one, SLOW)] * 3, Ask(other, generous)]
    )

    assert [each.is_allowed for each in decisions] == [True, True, True, True, False, True]
    assert [each.remaining for each in decisions] == [2, 99, 1, 0, 0, 98]


async def test_tokens_come_back_one_by_one_and_never_more_than_fit(
    buckets: TokenBuckets, redis: RedisConnection
) -> None:
    key = a_key()
    await buckets.take_many([Ask(key, SLOW)] * 3)

    await let_pass(redis, key, SLOW.interval_us)
    after_one = await buckets.take_many([Ask(key, SLOW)] * 2)
    await let_pass(redis, key, 100 * SLOW.interval_us)
    after_many = await buckets.take_many([Ask(key, SLOW)] * 5)

    assert [each.is_allowed for each in after_one] == [True, False]
    assert [each.is_allowed for each in after_many] == [True, True, True, False, False]


async def test_no_clock_but_that_of_redis_counts(
    buckets: TokenBuckets, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = a_key()
    monkeypatch.setattr(time, "time", lambda: 0.0)
    await buckets.take_many([Ask(key, SLOW)] * 3)

    monkeypatch.setattr(time, "time", lambda: 4_000_000_000.0)
    later = await buckets.take_many([Ask(key, SLOW)])

    assert not later[0].is_allowed


async def test_a_bucket_is_forgotten_once_it_is_full_again(
    buckets: TokenBuckets, redis: RedisConnection
) -> None:
    key = a_key()
    limit = RateLimit(capacity=10, refill_per_second=2)

    await buckets.take_many([Ask(key, limit)] * 4)

    milliseconds = await redis.run("read", lambda client: client.pttl(key))
    assert 1_900 < milliseconds <= 2_001


@pytest.mark.parametrize("value", [b"", b"no number", b"nan", b"1e400", b"-5"])
async def test_a_spoilt_value_makes_no_bucket_wider_than_full_nor_emptier_than_empty(
    buckets: TokenBuckets, redis: RedisConnection, value: bytes
) -> None:
    key = a_key()
    await redis.run("spoil", lambda client: client.set(key, value))

    decisions = await buckets.take_many([Ask(key, SLOW)] * 5)

    assert sum(each.is_allowed for each in decisions) in (0, 3)
    assert all(each.retry_after_seconds <= 1_000 for each in decisions)


async def test_a_spoilt_bucket_harms_no_other_in_its_batch(
    buckets: TokenBuckets, redis: RedisConnection
) -> None:
    spoilt, sound = a_key(), a_key()
    await redis.run("spoil", lambda client: client.rpush(spoilt, b"x"))

    decisions = await buckets.take_many([Ask(spoilt, SLOW), Ask(sound, SLOW)])

    assert [each.remaining for each in decisions] == [2, 2]


async def test_a_clock_set_back_by_a_year_locks_nobody_out_for_longer_than_a_refill(
    buckets: TokenBuckets, redis: RedisConnection
) -> None:
    key = a_key()
    await buckets.take_many([Ask(key, SLOW)])
    await let_pass(redis, key, -365 * 86_400 * 1_000_000)

    [decision] = await buckets.take_many([Ask(key, SLOW)])

    assert not decision.is_allowed
    assert decision.retry_after_seconds <= 1_000


async def test_a_more_generous_limit_counts_at_once_for_whoever_had_used_up_the_old_one(
    buckets: TokenBuckets, redis: RedisConnection
) -> None:
    key, generous = a_key(), RateLimit(capacity=100, refill_per_second=100)
    await buckets.take_many([Ask(key, SLOW)] * 3)

    [at_once] = await buckets.take_many([Ask(key, generous)])
    await let_pass(redis, key, 500_000)
    half_a_second_later = await buckets.take_many([Ask(key, generous)] * 100)

    assert not at_once.is_allowed
    assert 50 <= sum(decision.is_allowed for decision in half_a_second_later) < 100


async def test_a_redis_that_has_forgotten_the_script_is_told_it_again(
    buckets: TokenBuckets, redis: RedisConnection
) -> None:
    key = a_key()
    await buckets.take_many([Ask(key, SLOW)])
    await redis.run("forget", lambda client: client.script_flush())

    [decision] = await buckets.take_many([Ask(key, SLOW)])

    assert decision.remaining == 1


async def test_without_redis_it_says_so() -> None:
    nowhere = RedisSettings(REDIS_HOST="127.0.0.1", REDIS_PORT=services.free_port())
    async with RedisConnection.open(nowhere) as away:
        with pytest.raises(StoreUnavailableError):
            await TokenBuckets(away).take_many([Ask(a_key(), SLOW)])


@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    capacity=st.integers(1, 50),
    refill_per_minute=st.floats(0.01, 30),
    steps=st.lists(st.tuples(st.integers(0, 600_000_000), st.integers(1, 60)), max_size=8),
)
async def test_however_time_passes_no_stretch_of_it_has_more_than_its_bound(
    buckets: TokenBuckets,
    redis: RedisConnection,
    capacity: int,
    refill_per_minute: float,
    steps: list[tuple[int, int]],
) -> None:
    limit, key = RateLimit(capacity, refill_per_minute / 60), a_key()
    started = time.monotonic()
    now_seconds, granted = 0.0, list[tuple[float, int]]()

    for pause_us, wanted in steps:
        await let_pass(redis, key, pause_us)
        now_seconds += pause_us / 1_000_000
        decisions = await buckets.take_many([Ask(key, limit)] * wanted)
        granted.append((now_seconds, sum(each.is_allowed for each in decisions)))

    real_seconds = time.monotonic() - started
    for first, last in itertools.combinations_with_replacement(range(len(granted)), 2):
        seconds = granted[last][0] - granted[first][0] + real_seconds
        count = sum(number for _, number in granted[first : last + 1])
        assert count <= capacity + limit.refill_per_second * seconds + 1e-9


@pytest.mark.parametrize(("capacity", "refill_per_second"), [(1, 20), (20, 100), (50, 1_000)])
async def test_many_clients_at_once_get_together_what_one_may_and_not_less(
    redis_settings: RedisSettings, capacity: int, refill_per_second: float
) -> None:
    limit, key = RateLimit(capacity, refill_per_second), a_key()
    async with AsyncExitStack() as clients:
        connections = [
            await clients.enter_async_context(RedisConnection.open(redis_settings))
            for _ in range(4)
        ]

        asked = await ask_for_a_while(
            [TokenBuckets(each) for each in connections], Ask(key, limit), seconds=0.6
        )

    allowed = [each for each in asked if each.decision.is_allowed]
    assert most_over_the_bound(asked, limit) <= 0
    # How many more than the burst depends on how often a busy machine lets the clients ask.
    assert len(allowed) > capacity
    assert len(asked) > len(allowed)


async def ask_for_a_while(
    clients: Sequence[TokenBuckets], wish: Ask, *, seconds: float
) -> list[Asked]:
    """Let each client ask in several batches at once, again and again."""
    ends_at = time.monotonic() + seconds
    asked: list[Asked] = []

    async def keep_asking(client: TokenBuckets, size: int) -> None:
        while time.monotonic() < ends_at:
            asked.extend(await ask(client, [wish] * size))

    await asyncio.gather(*(keep_asking(each, size) for each in clients for size in (1, 3)))
    return asked
