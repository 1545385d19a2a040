"""What the measurement of the operator judges, and reads."""

from dataclasses import replace

from tests.bench.operator.cli import Measured, find_faults, sum_of

FEW = Measured(
    resources=10,
    objects=250,
    first_pass_seconds=5.0,
    first_pass_cpu_seconds=2.0,
    memory_megabytes=90.0,
    rest_requests_per_minute=30.0,
    rest_applies=0,
    rest_cpu_share=0.02,
)
METRICS = """\
# HELP apiserver_request_total Counter
apiserver_request_total{code="200",resource="services",verb="APPLY",version="v1"} 7
apiserver_request_total{code="201",resource="services",verb="APPLY",version="v1"} 5
apiserver_request_total{code="200",resource="services",verb="LIST",version="v1"} 1.2e+03
"""


def test_traffic_that_grows_with_the_number_and_writes_at_rest_are_faults() -> None:
    many = replace(FEW, resources=50)

    assert find_faults([FEW, many]) == []
    [grown] = find_faults([FEW, replace(many, rest_requests_per_minute=50.0)])
    assert grown == ("a resource among 50 takes 50.0 requests a minute at rest, among 10 30.0")
    assert find_faults([FEW, replace(many, rest_applies=3)]) == [
        "50 resources: 3 objects were written at rest"
    ]


def test_a_row_says_what_one_resource_takes() -> None:
    assert FEW.to_row() == "| 10 | 250 | 5.0 | 500 | 200 | 90 | 30.0 | 0 | 20 |\n"


def test_counters_of_several_series_are_added() -> None:
    assert sum_of(METRICS, r"apiserver_request_total\{[^}]*verb=\"APPLY\"") == 12
    assert sum_of(METRICS, r"apiserver_request_total\{[^}]*verb=\"LIST\"") == 1200
