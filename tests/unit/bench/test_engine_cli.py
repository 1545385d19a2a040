import pytest

from tests.bench.engine.cli import PARTIAL_RESULTS, RESULTS, parse


def test_a_whole_run_replaces_the_published_results() -> None:
    assert parse([]).results == RESULTS


@pytest.mark.parametrize("arguments", [["--systems", "ours"], ["--scenarios", "drain"]])
def test_a_run_of_a_part_leaves_the_published_results_alone(arguments) -> None:
    assert parse(arguments).results == PARTIAL_RESULTS
