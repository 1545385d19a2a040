"""The fake keeps the same promises as a real API server (see tests/e2e/operator)."""

import pytest

from operator_testing.cluster_promises import PROMISES, Promise
from operator_testing.fake_cluster import FakeCluster


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
async def test_the_fake_keeps_the_promise(promise: Promise) -> None:
    await promise(FakeCluster(), "promises")
