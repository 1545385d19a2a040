"""Servers to be broken, that no other test uses, and a line of figures for each trial.

Before: ``services`` can start servers.
After: each module makes a platform on them.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import services
from faulty_platform import FaultyPlatform, StartTrial, Stores, Trial
from own_stores import make_template


@pytest.fixture(scope="session")
def stores() -> Iterator[Stores]:
    with (
        services.postgres() as postgres,
        services.redis() as redis,
        services.rabbitmq() as rabbitmq,
    ):
        asyncio.run(make_template(postgres.port))
        services.await_broker(rabbitmq)
        yield Stores(postgres, redis, rabbitmq)


@pytest.fixture
def trial(platform: FaultyPlatform, record_property: Callable[[str, object], None]) -> StartTrial:
    """Starts a trial, and writes down its figures when it has ended."""

    @contextmanager
    def start(name: str, **arguments: Any) -> Iterator[Trial]:
        with platform.trial(name, **arguments) as started:
            yield started
        record_property("trial", f"{name:<24}{started.totals}")
        totals = started.totals
        assert (totals.lost, totals.duplicated, totals.unexpected) == (0, 0, 0)

    return start
