"""Queues have the names that the original service and other pools expect."""

import pytest

from orchestrator_core.topology import (
    DEAD_QUEUE,
    DEFAULT_POOL,
    TASK_QUEUE,
    TASK_QUEUE_ARGUMENTS,
    task_queue,
)


def test_the_default_pool_has_the_original_services_queue() -> None:
    assert task_queue(DEFAULT_POOL) == TASK_QUEUE == "task.created"


@pytest.mark.parametrize("pool", ["gpu", "a", "large-memory", "9", "x" * 63])
def test_another_pool_has_a_queue_of_its_own(pool: str) -> None:
    assert task_queue(pool) == f"task.created.{pool}"


@pytest.mark.parametrize("pool", ["", "GPU", "a.b", "-a", "a-", "a b", "x" * 64, "a\n", "é"])
def test_a_name_that_kubernetes_would_not_take_is_refused(pool: str) -> None:
    with pytest.raises(ValueError, match="expected a pool"):
        task_queue(pool)


def test_what_no_worker_can_use_is_kept_for_people() -> None:
    assert TASK_QUEUE_ARGUMENTS["x-dead-letter-routing-key"] == DEAD_QUEUE
    assert TASK_QUEUE_ARGUMENTS["x-delivery-limit"] == 20
