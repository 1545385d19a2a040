"""Who is given up: a client who takes nothing, never one who takes little."""

from orchestrator_api.http_protocol import TAKE_SECONDS, Untaken


def look_each_second(sizes: list[int]) -> list[bool]:
    """Return after each look whether the client is given up."""
    untaken, given_up = Untaken(), []
    for second, size_bytes in enumerate(sizes):
        untaken = untaken.look(size_bytes, float(second))
        given_up.append(untaken.is_given_up(float(second)))
    return given_up


def test_who_takes_nothing_is_given_up_when_the_time_is_over() -> None:
    seconds = int(TAKE_SECONDS)

    assert look_each_second([8 << 20] * (seconds + 1)) == [False] * seconds + [True]


def test_who_takes_little_is_not_given_up() -> None:
    sizes = [(8 << 20) - second // 29 for second in range(600)]

    assert not any(look_each_second(sizes))


def test_a_silent_connection_that_owes_nothing_is_not_given_up() -> None:
    assert not any(look_each_second([0] * 600))


def test_time_counts_from_when_there_was_something_to_take() -> None:
    assert not any(look_each_second([0] * 600 + [100] * 30))
