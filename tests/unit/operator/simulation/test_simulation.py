"""The law beside KEDA with a HorizontalPodAutoscaler, in a model with fixed seeds.

``make bench-scaling`` prints and draws it.
"""

from functools import cache

import pytest

from operator_testing.scenarios import RULES, SCENARIOS, SEED
from operator_testing.simulated_pool import LawRule, Result, simulate


@cache
def a_run(scenario: str, rule: str) -> Result:
    return simulate(SCENARIOS[scenario], RULES[rule](), seed=SEED)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_tasks_wait_no_longer_than_under_a_tuned_keda(scenario: str) -> None:
    law, keda = a_run(scenario, "this law"), a_run(scenario, "KEDA, value 4")

    assert law.wait_p99_seconds <= keda.wait_p99_seconds
    assert law.wait_p50_seconds <= keda.wait_p50_seconds


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_scaling_in_kills_no_task(scenario: str) -> None:
    assert a_run(scenario, "this law").killed_tasks == 0


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_nothing_is_left_waiting(scenario: str) -> None:
    assert a_run(scenario, "this law").unfinished_tasks == 0


@pytest.mark.parametrize(
    ("scenario", "waits_at_most", "pods_at_most"),
    [
        ("burst: 600 tasks of 5 s at once", 0.5, 1.0),
        ("step: 0.5 to 8 a second, 5 s each", 0.25, 1.0),
        ("wave: 0 to 8 a second, 5 s each", 0.75, 1.0),
        ("spikes: 10 a second for 30 of 180 s", 0.4, 1.1),
        ("long: 0 to 0.3 a second, 240 s each", 0.01, 1.2),
        ("shift: 2 a second, 5 s then 20 s each", 0.75, 1.25),
    ],
)
def test_it_stays_as_good_as_it_was(
    scenario: str, waits_at_most: float, pods_at_most: float
) -> None:
    law, keda = a_run(scenario, "this law"), a_run(scenario, "KEDA, value 4")

    assert law.wait_p99_seconds <= waits_at_most * keda.wait_p99_seconds
    assert law.pod_hours <= pods_at_most * keda.pod_hours


def test_the_model_is_deterministic() -> None:
    scenario = SCENARIOS["burst: 600 tasks of 5 s at once"]

    first, second = (simulate(scenario, LawRule(), seed=7) for _ in range(2))

    assert first == second
