"""What the worker counts."""

import pytest
from prometheus_client import generate_latest

from orchestrator_core.attempts import Failed, HandedBack, Outcome, RetryAfter, Succeeded
from orchestrator_core.tasks import ErrorCode
from orchestrator_core.testing import a_claim, a_result
from orchestrator_worker.metrics import LEASE_LOST, OUTCOMES, REFUSED, Metrics
from orchestrator_worker.slots import Slots


def lines_of(metrics: Metrics) -> list[str]:
    return generate_latest(metrics.registry).decode().splitlines()


@pytest.mark.parametrize(
    ("outcome", "is_recorded", "told"),
    [
        (Succeeded(a_result()), True, "succeeded"),
        (Succeeded(a_result()), False, "refused"),
        (Failed(ErrorCode.HANDLER_ERROR, "no"), True, "failed"),
        (RetryAfter(ErrorCode.HANDLER_ERROR, "not now", 3.0), True, "retried"),
        (HandedBack(), True, "handed_back"),
    ],
)
def test_an_attempt_is_counted_by_its_type_and_how_it_ended(
    outcome: Outcome,
    is_recorded: bool,  # noqa: FBT001 - a column of the table
    told: str,
) -> None:
    metrics = Metrics()

    metrics.count_ended(a_claim(), outcome, 0.3, is_recorded=is_recorded)

    lines = lines_of(metrics)
    name = "orchestrator_worker_attempts_total"
    assert f'{name}{{outcome="{told}",task_type="any"}} 1.0' in lines
    duration = "orchestrator_worker_attempt_duration_seconds_bucket"
    assert f'{duration}{{le="0.5",task_type="any"}} 1.0' in lines
    assert f'{duration}{{le="0.25",task_type="any"}} 0.0' in lines


def test_a_lost_lease_is_counted_and_not_timed() -> None:
    metrics = Metrics()

    metrics.count_lost(a_claim())

    lines = lines_of(metrics)
    assert 'orchestrator_worker_attempts_total{outcome="lease_lost",task_type="any"} 1.0' in lines
    assert 'orchestrator_worker_attempt_duration_seconds_count{task_type="any"} 0.0' in lines


def test_first_attempts_say_how_long_their_task_waited() -> None:
    metrics = Metrics()

    metrics.count_claims([a_claim(waited_seconds=2.0), a_claim(attempt=2, waited_seconds=60.0)])
    metrics.count_claims([])

    lines = lines_of(metrics)
    assert 'orchestrator_worker_task_wait_seconds_sum{task_type="any"} 2.0' in lines
    assert "orchestrator_worker_claim_batch_size_sum 2.0" in lines
    assert "orchestrator_worker_claim_batch_size_count 2.0" in lines


def test_a_type_that_was_claimed_has_all_outcomes_at_0_before_its_first_one() -> None:
    metrics = Metrics()

    metrics.count_claims([a_claim()])

    name = "orchestrator_worker_attempts_total"
    mine = [line for line in lines_of(metrics) if line.startswith(name)]
    assert len(mine) == len({*OUTCOMES.values(), LEASE_LOST, REFUSED}) == 6
    assert all(line.endswith(" 0.0") for line in mine)


def test_slots_are_read_when_somebody_asks() -> None:
    metrics, slots = Metrics(), Slots(8)
    metrics.watch_slots(slots)

    slots.take(3)

    assert "orchestrator_worker_slots 8.0" in lines_of(metrics)
    assert "orchestrator_worker_slots_busy 3.0" in lines_of(metrics)
