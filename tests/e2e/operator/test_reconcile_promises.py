"""A real API server keeps what the operator relies on, as its fake does."""

import secrets
from collections.abc import AsyncIterator, Iterator

import pytest

from operator_testing.cluster_promises import PROMISES, Promise
from orchestrator_operator.applying import Cluster, KubernetesCluster
from platform_under_test import namespace


@pytest.fixture(scope="module")
def home() -> Iterator[str]:
    with namespace(f"e2e-promises-{secrets.token_hex(3)}", level="privileged") as name:
        yield name


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    async with await KubernetesCluster.connect(component="e2e") as connected:
        yield connected


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
async def test_the_api_server_keeps_the_promise(
    promise: Promise, cluster: Cluster, home: str
) -> None:
    await promise(cluster, home)
