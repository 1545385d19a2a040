"""The buckets of a process: bounded in tokens and in memory, closed to nobody new."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from orchestrator_api.limits.local_buckets import LocalBuckets
from orchestrator_core.rate_limits import Ask, RateLimit

LIMIT = RateLimit(capacity=3, refill_per_second=2)


class AClock:
    """Stands still until moved."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def buckets(clock: AClock, *, replicas: int = 1, max_buckets: int = 100) -> LocalBuckets:
    return LocalBuckets(replicas=replicas, clock=clock, max_buckets=max_buckets)


def test_somebody_new_gets_a_full_bucket_and_then_hears_when_to_come_back() -> None:
    local = buckets(AClock())

    decisions = [local.take(Ask(b"ada", LIMIT)) for _ in range(4)]

    assert [each.is_allowed for each in decisions] == [True, True, True, False]
    assert [each.remaining for each in decisions] == [2, 1, 0, 0]
    assert decisions[0].reset_seconds == 0.5
    assert decisions[-1].retry_after_seconds == 0.5


def test_each_has_a_bucket_of_his_own() -> None:
    local = buckets(AClock())
    for _ in range(4):
        local.take(Ask(b"ada", LIMIT))

    assert local.take(Ask(b"grace", LIMIT)).remaining == 2


def test_replicas_share_the_refill() -> None:
    clock = AClock()
    local = buckets(clock, replicas=4)
    for _ in range(3):
        local.take(Ask(b"ada", LIMIT))

    clock.now += 1.9
    too_early = local.take(Ask(b"ada", LIMIT))
    clock.now += 0.2
    in_time = local.take(Ask(b"ada", LIMIT))

    assert not too_early.is_allowed
    assert in_time.is_allowed


def test_memory_is_bounded_and_those_who_asked_last_are_remembered() -> None:
    local = buckets(AClock(), max_buckets=2)
    one = RateLimit(capacity=1, refill_per_second=0.001)
    for name in (b"ada", b"grace", b"ada", b"joan"):
        local.take(Ask(name, one))
    joan = local.take(Ask(b"joan", one))
    grace = local.take(Ask(b"grace", one))

    assert not joan.is_allowed
    # Ada's second ask was refused and made her no younger; Grace came after her.
    assert not grace.is_allowed


@given(
    capacity=st.integers(1, 20),
    refill_per_minute=st.floats(0.01, 6_000),
    replicas=st.integers(1, 5),
    pauses=st.lists(st.floats(0, 10), max_size=60),
)
def test_however_time_passes_no_stretch_of_it_has_more_than_its_bound(
    capacity: int, refill_per_minute: float, replicas: int, pauses: list[float]
) -> None:
    clock, allowed_at = AClock(), list[float]()
    local = buckets(clock, replicas=replicas)
    ask = Ask(b"ada", RateLimit(capacity, refill_per_minute / 60))

    for pause in pauses:
        clock.now += pause
        if local.take(ask).is_allowed:
            allowed_at.append(clock.now)

    for first, last in itertools.combinations_with_replacement(range(len(allowed_at)), 2):
        seconds = allowed_at[last] - allowed_at[first]
        assert last - first + 1 <= capacity + refill_per_minute / 60 / replicas * seconds + 1e-6
