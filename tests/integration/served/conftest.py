"""The API as a process of its own, and what its document says can be asked of it.

Before: the fixtures above run the servers.
After: tests send what no client library would, and read what comes over the wire.
"""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

import services
from api_contract import Operation, each_operation
from own_stores import own_stores
from served_api import ServedApi, environment_of, serving_process


@pytest.fixture(scope="session")
def running_api(
    postgres_service: services.Service,
    redis_service: services.Service,
    rabbitmq_service: services.Service,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[ServedApi]:
    """One process for all tests that need no clean stores, with every installed task type."""
    log = tmp_path_factory.mktemp("served") / "api.log"
    with (
        own_stores(postgres_service, redis_service, rabbitmq_service) as settings,
        serving_process(environment_of(settings), log) as served,
    ):
        yield served


@pytest.fixture
def client(running_api: ServedApi) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=running_api.url, timeout=10) as client:
        yield client


@pytest.fixture
def document(client: httpx.Client) -> dict[str, Any]:
    document: dict[str, Any] = client.get("/openapi.json").json()
    return document


@pytest.fixture
def operations(document: dict[str, Any]) -> list[Operation]:
    return list(each_operation(document))
