import json

import pytest

from tests.bench.comparing import COMPONENTS, Round, build_table, compare
from tests.bench.wrk import Load


def a_round(answers: int, *, p99_ms: float = 50.0, api_seconds: float = 0.9) -> Round:
    load = Load(duration_seconds=1.0, answers=answers, p50_ms=20.0, p99_ms=p99_ms)
    cpu_seconds = {**dict.fromkeys(COMPONENTS, 0.1), "api": api_seconds}
    return Round(load=load, cpu_seconds=cpu_seconds, rows=answers, unrung=0)


def test_the_ratio_is_the_median_of_the_pairs_own_ratios() -> None:
    ours = [a_round(3_000), a_round(1_000), a_round(2_600)]
    textbook = [a_round(1_000), a_round(500), a_round(1_000)]

    found = compare(ours, textbook)

    assert (found.ratio, found.lowest_ratio, found.highest_ratio) == (2.6, 2.0, 3.0)
    assert found.ours.created_per_second == pytest.approx(2_200)


def test_cpu_time_is_told_per_request() -> None:
    found = compare([a_round(1_000, api_seconds=0.5), a_round(3_000)], [a_round(1), a_round(1)])

    assert found.ours.cpu_us_per_request["api"] == pytest.approx(350)


def test_twice_as_fast_and_no_worse_at_the_99th_percentile_is_good_enough() -> None:
    assert compare([a_round(2_000)], [a_round(1_000)]).find_faults() == []


def test_less_than_twice_as_fast_is_a_fault() -> None:
    (fault,) = compare([a_round(1_990)], [a_round(1_000)]).find_faults()

    assert fault == "expected at least 2.0 times the 201/s, found 1.99"


def test_a_worse_99th_percentile_is_a_fault() -> None:
    (fault,) = compare([a_round(3_000, p99_ms=51.0)], [a_round(1_000)]).find_faults()

    assert fault == "expected a p99 of at most the textbook's 50.0 ms, found 51.0 ms"


def test_rounds_without_their_counterpart_are_no_comparison() -> None:
    with pytest.raises(ValueError, match="shorter"):
        compare([a_round(1), a_round(2)], [a_round(1)])


def test_the_table_and_the_json_tell_the_same() -> None:
    found = compare([a_round(2_500)], [a_round(1_000)])

    table = build_table(found)
    report = json.loads(json.dumps(found.to_json()))

    assert "201/s                     2500      1000" in table
    assert "ratio 2.50" in table
    assert report["ratio"] == 2.5
    assert report["ours"]["cpu_us_per_request"]["api"] == pytest.approx(360)
