"""Fixtures of the end-to-end tests: one platform from the sample for the whole run.

Before: ``make cluster`` has installed the operator.
After: tests talk to the platform as a client and as somebody with kubectl.
"""

import os
import secrets
from collections.abc import Callable, Iterator

import httpx
import pytest

from platform_under_test import SAMPLE, Api, Platform, Tunnel, kubectl, namespace

READY_SECONDS = 90.0


@pytest.fixture(scope="session", autouse=True)
def _cluster() -> None:
    assert os.environ.get("KUBECONFIG"), "KUBECONFIG must name a cluster: run `make e2e`"
    kubectl("get", "crd", "orchestrators.taskorchestrator.dev")


@pytest.fixture(scope="session")
def platform() -> Iterator[Platform]:
    """The sample, applied and ready within the time that is promised for it."""
    with namespace(f"e2e-{secrets.token_hex(3)}") as name:
        found = Platform(name, "demo")
        found.kubectl("apply", "-f", str(SAMPLE))
        found.await_ready(seconds=READY_SECONDS)
        yield found


@pytest.fixture(scope="session")
def http(platform: Platform) -> Iterator[httpx.Client]:
    """A client of the API's Service, without nginx's limits."""
    transport = Tunnel(platform.namespace, f"{platform.name}-api")
    with httpx.Client(transport=transport, base_url="http://api", timeout=10.0) as client:
        yield client


@pytest.fixture
def new_user(http: httpx.Client) -> Callable[[], Api]:
    return lambda: Api(http, f"user-{secrets.token_hex(4)}")


@pytest.fixture
def api(new_user: Callable[[], Api]) -> Api:
    """A user of this test's own."""
    return new_user()
