"""The law beside KEDA with a HorizontalPodAutoscaler, in a model with fixed seeds.

``PYTHONPATH=tests/support python tests/unit/operator/simulation/test_simulation.py`` prints it.
"""

import math
import random
from collections.abc import Callable
from functools import cache

import pytest

from operator_testing.keda_rule import KedaRule
from operator_testing.simulated_pool import (
    LawRule,
    Result,
    Rule,
    Scenario,
    simulate,
)

SEED = 1


def tasks_of(mean_seconds: float) -> Callable[[random.Random, int], float]:
    """Service times with a long tail, a second at least."""
    return lambda chance, _: max(1.0, chance.expovariate(1 / mean_seconds))


def a_wave(*, peak: float, period_seconds: int) -> Callable[[int], float]:
    return lambda now: peak / 2 * (1 - math.cos(2 * math.pi * now / period_seconds))


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario(
            name="burst: 600 tasks of 5 s at once",
            seconds=1500,
            arrivals_per_second=lambda now: 600 if now == 60 else 0,
            service_seconds=tasks_of(5),
        ),
        Scenario(
            name="step: 0.5 to 8 a second, 5 s each",
            seconds=3600,
            arrivals_per_second=lambda now: 8 if 600 <= now <= 2400 else 0.5,
            service_seconds=tasks_of(5),
        ),
        Scenario(
            name="wave: 0 to 8 a second, 5 s each",
            seconds=3600,
            arrivals_per_second=a_wave(peak=8, period_seconds=1200),
            service_seconds=tasks_of(5),
        ),
        Scenario(
            name="spikes: 10 a second for 30 of 180 s",
            seconds=3600,
            arrivals_per_second=lambda now: 10 if now % 180 < 30 else 0,
            service_seconds=tasks_of(5),
        ),
        Scenario(
            name="long: 0 to 0.3 a second, 240 s each",
            seconds=7200,
            arrivals_per_second=a_wave(peak=0.3, period_seconds=3600),
            service_seconds=tasks_of(240),
        ),
        Scenario(
            name="shift: 2 a second, 5 s then 20 s each",
            seconds=3600,
            arrivals_per_second=lambda _: 2,
            service_seconds=lambda chance, now: tasks_of(5 if now < 1200 else 20)(chance, now),
        ),
    )
}
RULES: dict[str, Callable[[], Rule]] = {
    "KEDA, value 20": lambda: KedaRule(value=20),
    "KEDA, value 4": lambda: KedaRule(value=4),
    "this law": LawRule,
}


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


def format_table() -> str:
    """Put the runs side by side: wait p50 / p99, pod-hours, killed tasks, changes, peak."""
    columns = f"{'p50 s':>7}{'p99 s':>8}{'pod-h':>7}{'killed':>8}{'changes':>9}{'peak':>6}"
    lines = [f"{'':40}{'rule':16}{columns}"]
    for scenario in SCENARIOS:
        for rule in RULES:
            run = a_run(scenario, rule)
            lines.append(
                f"{scenario:40}{rule:16}{run.wait_p50_seconds:7.1f}{run.wait_p99_seconds:8.1f}"
                f"{run.pod_hours:7.2f}{run.killed_tasks:8}{run.changes:9}{run.peak_replicas:6}"
            )
    return "\n".join(lines)


if __name__ == "__main__":
    print(format_table())  # noqa: T201 - asked for by hand
