"""How wide a worker opens its door."""

import pytest

from orchestrator_worker.consuming import is_too_narrow


@pytest.mark.parametrize(
    ("prefetch", "free", "is_narrow"),
    [
        (0, 1, True),  # paused
        (4, 4, False),
        (4, 1, False),
        (1, 1, False),
        (1, 2, True),
        (2, 3, False),
        (2, 4, True),
    ],
)
def test_a_consumer_is_widened_in_leaps(prefetch: int, free: int, *, is_narrow: bool) -> None:
    assert is_too_narrow(prefetch, free_slots=free) is is_narrow
