"""Fixtures of the end-to-end tests: one platform from the sample for the whole run.

Before: ``make cluster`` has installed the operator.
After: tests talk to the platform as a client and as somebody with kubectl.
"""

import json
import os
import secrets
from collections.abc import Callable, Generator, Iterator
from typing import Any

import httpx
import pytest
import yaml

from platform_under_test import SAMPLE, Api, Platform, Tunnel, kubectl, namespace
from side_by_side import ByFolder, a_turn

READY_SECONDS = 90.0
NO_LIMIT: dict[str, Any] = {"capacity": 1_000_000, "refillPerMinute": 60_000_000}
"""Tests send bursts, and all of them come from one address; those about limits set their own."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFolder:
    return ByFolder(config, log)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    with a_turn(alone=item.get_closest_marker("alone") is not None):
        return (yield)


@pytest.fixture(scope="session", autouse=True)
def _cluster() -> None:
    assert os.environ.get("KUBECONFIG"), "KUBECONFIG must name a cluster: run `make e2e`"
    kubectl("get", "crd", "orchestrators.taskorchestrator.dev")


@pytest.fixture(scope="session")
def platform() -> Iterator[Platform]:
    """The sample, without its limits and its mail server, ready within the time promised."""
    manifest = yaml.safe_load(SAMPLE.read_text(encoding="utf-8"))
    manifest["spec"]["api"]["rateLimit"] = {**NO_LIMIT, "auth": NO_LIMIT}
    del manifest["spec"]["worker"]["smtp"]
    with namespace(f"e2e-{secrets.token_hex(3)}") as name:
        found = Platform(name, "demo")
        found.kubectl("apply", "-f", "-", input_text=json.dumps(manifest))
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
