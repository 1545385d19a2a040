"""The rules of KEDA's RabbitMQ scaler and the autoscaler behind it, as documented.

Two controllers: KEDA polls every 30 s and moves between zero and one, the
HorizontalPodAutoscaler looks every 15 s and moves between one and many. ``value``
is messages per worker; which worker goes is chance. A model of the documented
behaviour, not KEDA itself.

Before: ``simulated_pool`` runs it beside this project's law.
After: the regression test holds that the law waits no longer.
"""

import math
from typing import Final

from operator_testing.simulated_pool import Pool, Step

KEDA_POLL_SECONDS: Final = 30
COOLDOWN_SECONDS: Final = 300
HPA_PERIOD_SECONDS: Final = 15
HPA_PHASE_SECONDS: Final = 7
HPA_STABILIZATION_SECONDS: Final = 300
HPA_TOLERANCE: Final = 0.1
HPA_PODS_PER_PERIOD: Final = 4


class KedaRule:
    """QueueLength over HTTP: ready and unacknowledged messages, its better variant."""

    def __init__(self, *, value: int) -> None:
        self._value = value
        self._last_active = -math.inf
        self._recommendations: list[tuple[int, int]] = []

    def __call__(self, pool: Pool) -> Step | None:
        """Let KEDA look, then the HorizontalPodAutoscaler, each in its own period."""
        messages, current = len(pool.queue) + pool.in_flight, len(pool.living)
        if pool.now % KEDA_POLL_SECONDS == 0:
            if messages > 0:
                self._last_active = pool.now
                if current == 0:
                    return Step(1)
            elif current > 0 and pool.now - self._last_active > COOLDOWN_SECONDS:
                self._recommendations = []
                return Step(0)
        if pool.now % HPA_PERIOD_SECONDS == HPA_PHASE_SECONDS and current > 0:
            return Step(self._recommend(pool.now, messages, current))
        return None

    def _recommend(self, now: int, messages: int, current: int) -> int:
        ratio = messages / (self._value * current)
        within = abs(ratio - 1) <= HPA_TOLERANCE
        wish = max(1, current if within else math.ceil(messages / self._value))
        horizon = now - HPA_STABILIZATION_SECONDS
        self._recommendations = [
            (at, replicas) for at, replicas in self._recommendations if at >= horizon
        ]
        self._recommendations.append((now, wish))
        if wish < current:
            return min(current, max(replicas for _, replicas in self._recommendations))
        return min(wish, max(current + HPA_PODS_PER_PERIOD, current * 2))
