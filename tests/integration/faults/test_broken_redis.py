"""Redis killed, frozen, unreachable: nothing is lost but the exactness of limits."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import httpx
import pytest

import services
from faulty_platform import FaultyPlatform, StartTrial, Stores, a_platform
from invariants import RateBound
from task_load import CALL_SECONDS

CAPACITY, PER_SECOND = 20, 10
LIMITS = json.dumps(
    {
        "users": {"capacity": CAPACITY, "refill_per_minute": 60 * PER_SECOND},
        "auth": {"capacity": 60, "refill_per_minute": 600},
    }
)
BOUND = RateBound(burst=3 * CAPACITY, per_second=PER_SECOND)
"""A full bucket each: of Redis, of the process while that is away, of the Redis that comes back."""
OUTAGE_SECONDS = 2.0

Fault = Callable[[FaultyPlatform], AbstractContextManager[None]]


@pytest.fixture(scope="module")
def platform(stores: Stores, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultyPlatform]:
    with a_platform(
        stores,
        tmp_path_factory.mktemp("redis"),
        environment={"ORCHESTRATOR_API_RATE_LIMITS": LIMITS},
    ) as running:
        yield running


def killed(platform: FaultyPlatform) -> AbstractContextManager[None]:
    return services.killed(platform.stores.redis)


def frozen(platform: FaultyPlatform) -> AbstractContextManager[None]:
    return services.paused(platform.stores.redis)


@contextmanager
def cut_off(platform: FaultyPlatform) -> Iterator[None]:
    platform.redis_proxy.drop()
    try:
        yield
    finally:
        platform.redis_proxy.heal()


@contextmanager
def silent(platform: FaultyPlatform) -> Iterator[None]:
    platform.redis_proxy.swallow()
    try:
        yield
    finally:
        platform.redis_proxy.heal()


@pytest.mark.parametrize("fault", [killed, frozen, cut_off, silent])
def test_without_redis_all_goes_on_and_limits_hold(
    platform: FaultyPlatform, trial: StartTrial, fault: Fault
) -> None:
    name = f"F-27 redis {fault.__name__.replace('_', ' ')}"

    with trial(name, rate_bound=BOUND) as told, fault(platform):
        time.sleep(OUTAGE_SECONDS)

    assert told.codes() <= {200, 201, 429}
    assert told.totals.acknowledged == told.totals.ok


def test_without_redis_logins_are_still_limited(
    platform: FaultyPlatform, trial: StartTrial
) -> None:
    def log_in() -> int:
        credentials = {"username": "nobody", "password": "a wrong password"}
        return client.post("/auth/login", json=credentials).status_code

    url = platform.apis[0].ready_url.removesuffix("/readyz")
    with (
        httpx.Client(base_url=url, timeout=CALL_SECONDS) as client,
        trial("F-27 redis, logins", rate_bound=BOUND),
        cut_off(platform),
    ):
        codes = [log_in() for _ in range(200)]

    assert set(codes) == {401, 429}
