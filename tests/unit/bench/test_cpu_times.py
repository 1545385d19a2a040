import os

from tests.bench.cpu_times import ProcessTimes, parse_stat, sum_tree

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def test_a_process_has_its_own_time_and_that_of_its_ended_children() -> None:
    # utime 10, stime 20, cutime 30, cstime 40; the name holds what it likes.
    line = "77 (a) b (c) S 5 77 77 0 -1 4194560 1 2 3 4 10 20 30 40 20 0 1 0 99"

    times = parse_stat(line)

    assert times == ProcessTimes(parent=5, cpu_seconds=100 / TICKS_PER_SECOND)


def test_a_server_has_the_time_of_all_below_it_and_of_nobody_else() -> None:
    processes = {
        1: ProcessTimes(parent=0, cpu_seconds=100.0),
        10: ProcessTimes(parent=1, cpu_seconds=1.0),
        11: ProcessTimes(parent=10, cpu_seconds=2.0),
        12: ProcessTimes(parent=11, cpu_seconds=4.0),
        20: ProcessTimes(parent=1, cpu_seconds=50.0),
    }

    assert sum_tree(10, processes) == 7.0
    assert sum_tree(99, processes) == 0.0
