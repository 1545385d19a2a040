"""Loads to compare scaling rules with, and the rules that are compared.

Before: nothing.
After: the regression test of the law and ``make bench-scaling`` run each rule under each load.
"""

import math
import random
from collections.abc import Callable

from operator_testing.keda_rule import KedaRule
from operator_testing.simulated_pool import LawRule, Rule, Scenario

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
