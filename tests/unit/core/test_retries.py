from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator_core.retries import retry_delay_seconds


@given(attempt=st.integers(1, 10_000), seed=st.integers())
def test_a_delay_stays_below_its_ceiling(attempt: int, seed: int) -> None:
    delay = retry_delay_seconds(attempt, chance=Random(seed))

    assert 0 <= delay <= min(60, 2 ** (attempt - 1))


@pytest.mark.parametrize(("attempt", "ceiling"), [(1, 1), (2, 2), (4, 8), (7, 60), (50, 60)])
def test_delays_use_the_whole_interval(attempt: int, ceiling: float) -> None:
    chance = Random(7)

    delays = [retry_delay_seconds(attempt, chance=chance) for _ in range(2000)]

    assert min(delays) < 0.05 * ceiling
    assert max(delays) > 0.95 * ceiling
