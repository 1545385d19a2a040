import pytest

from tests.bench.wrk import BenchError, Load, parse_report


def a_report(**changes: int) -> str:
    report = {
        "duration_us": 4_000_000,
        "answers": 8_000,
        "refused": 0,
        "failed": 0,
        "p50_us": 20_500,
        "p99_us": 41_000,
        **changes,
    }
    fields = ",".join(f'"{name}":{value}' for name, value in report.items())
    return f"Running 4s test @ http://127.0.0.1:1/\n  1 threads and 64 connections\n{{{fields}}}\n"


def test_the_last_line_of_wrk_tells_the_load() -> None:
    load = parse_report(a_report())

    assert load == Load(duration_seconds=4.0, answers=8_000, p50_ms=20.5, p99_ms=41.0)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"refused": 1}, "found 1 answers of 400 and above"),
        ({"failed": 2}, "2 broken connections or timeouts"),
        ({"answers": 0}, "no answer at all"),
    ],
)
def test_anything_but_a_success_is_no_measurement(changes: dict[str, int], reason: str) -> None:
    with pytest.raises(BenchError, match=reason):
        parse_report(a_report(**changes))


@pytest.mark.parametrize("output", ["", "unable to connect\n", '{"answers": 1}\n', "[]\n"])
def test_output_without_the_line_is_no_measurement(output: str) -> None:
    with pytest.raises(BenchError, match=r"expected submit\.lua's line"):
        parse_report(output)
