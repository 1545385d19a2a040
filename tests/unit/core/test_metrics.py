"""Where Prometheus reads what a process counts."""

import asyncio
import socket

import httpx
import pytest
from prometheus_client import CollectorRegistry

import services
from orchestrator_core.errors import SettingsError
from orchestrator_core.metrics import StoreMetrics, new_registry, serving_metrics

VARIABLE = "METRICS_PORT"


def a_registry() -> CollectorRegistry:
    return new_registry(app="test", version="1.2.3")


async def test_metrics_are_read_on_a_port_of_their_own() -> None:
    port = services.free_port()

    async with (
        serving_metrics(a_registry(), port=port, variable=VARIABLE),
        httpx.AsyncClient() as client,
    ):
        answer = await client.get(f"http://127.0.0.1:{port}/metrics")

    lines = answer.text.splitlines()
    assert 'orchestrator_build_info{app="test",version="1.2.3"} 1.0' in lines
    assert any(line.startswith("process_cpu_seconds_total ") for line in lines)


async def test_the_port_is_free_again_afterwards() -> None:
    port = services.free_port()

    for _ in range(2):
        async with serving_metrics(a_registry(), port=port, variable=VARIABLE):
            pass

    with socket.socket() as probe:
        assert await asyncio.to_thread(probe.connect_ex, ("127.0.0.1", port)) != 0


async def test_port_0_serves_nothing() -> None:
    async with serving_metrics(a_registry(), port=0, variable=VARIABLE):
        pass


async def test_a_port_that_somebody_has_is_refused_with_a_way_out() -> None:
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))  # noqa: S104 - the address that the metrics want
        taken.listen()
        port = taken.getsockname()[1]

        with pytest.raises(SettingsError, match=f"METRICS_PORT={port}.*free port, or 0"):
            async with serving_metrics(a_registry(), port=port, variable=VARIABLE):
                pass


class APool:
    def __init__(self) -> None:
        self.max_connections = 4
        self.open_connections = 3
        self.busy_connections = 1


def test_stores_and_connections_are_read_when_somebody_asks() -> None:
    registry, pool, answers = a_registry(), APool(), True
    stores = StoreMetrics(registry)
    stores.watch_pool(pool)
    stores.tell_by("postgres", lambda: answers)
    stores.tell("redis", is_up=True)

    answers, pool.busy_connections = False, 3
    stores.tell("redis", is_up=False)

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(name, labels)

    assert [value("orchestrator_store_up", store=each) for each in ("postgres", "redis")] == [0, 0]
    connections = "orchestrator_postgres_connections"
    assert [value(connections, state=each) for each in ("busy", "idle")] == [3, 0]
    assert value(f"{connections}_max") == 4
