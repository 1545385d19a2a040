"""Sizes that follow from a memory limit."""

import pytest

from orchestrator_operator.compute import Resources
from orchestrator_operator.manifests.postgres import max_connections, shared_buffers_mib
from orchestrator_operator.scaled_pool import to_target
from orchestrator_operator.spec import ManagedPostgres, OrchestratorSpec


@pytest.mark.parametrize(
    ("memory", "buffers", "connections"),
    [("128Mi", 64, 100), ("1Gi", 256, 192), ("4Gi", 1024, 768), ("64Gi", 16384, 1000)],
)
def test_postgres_is_sized_by_its_memory(memory: str, buffers: int, connections: int) -> None:
    resources = Resources.model_validate({"limits": {"memory": memory}})

    assert shared_buffers_mib(resources) == buffers
    assert max_connections(resources) == connections


def test_workers_never_ask_for_more_connections_than_there_are() -> None:
    spec = OrchestratorSpec.model_validate(
        {"api": {"replicas": 10}, "worker": {"scaling": {"max": 1000}}}
    )

    limit = to_target(spec).connection_limit_replicas

    assert limit is not None
    assert limit * 7 + 11 * 9 < max_connections(ManagedPostgres().resources)


def test_a_worker_can_always_run() -> None:
    spec = OrchestratorSpec.model_validate({"api": {"replicas": 50}})

    assert to_target(spec).connection_limit_replicas == 1
