"""What Prometheus reads, and where."""

import asyncio
import socket

import httpx
import pytest

import services
from orchestrator_api.metrics import Metrics, serving_metrics
from orchestrator_core.errors import SettingsError


async def test_metrics_are_read_on_a_port_of_their_own() -> None:
    metrics, port = Metrics(), services.free_port()
    metrics.limits.count("user", "redis", is_allowed=True)

    async with serving_metrics(metrics, port=port), httpx.AsyncClient() as client:
        answer = await client.get(f"http://127.0.0.1:{port}/metrics")

    lines = answer.text.splitlines()
    name = "orchestrator_api_rate_limit_decisions_total"
    assert f'{name}{{decision="allowed",scope="user",source="redis"}} 1.0' in lines
    # Those that have not happened yet are there too, so that a rate over them is never empty.
    assert f'{name}{{decision="refused",scope="address",source="memory"}} 0.0' in lines
    assert "orchestrator_api_rate_limit_degraded 0.0" in lines
    assert any(line.startswith("process_cpu_seconds_total ") for line in lines)


async def test_the_port_is_free_again_afterwards() -> None:
    port = services.free_port()

    for _ in range(2):
        async with serving_metrics(Metrics(), port=port):
            pass

    with socket.socket() as probe:
        assert await asyncio.to_thread(probe.connect_ex, ("127.0.0.1", port)) != 0


async def test_port_0_serves_nothing() -> None:
    async with serving_metrics(Metrics(), port=0):
        pass


async def test_a_port_that_somebody_has_is_refused_with_a_way_out() -> None:
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))  # noqa: S104 - the address that the metrics want
        taken.listen()
        port = taken.getsockname()[1]

        with pytest.raises(SettingsError, match=f"METRICS_PORT={port}.*free port, or 0"):
            async with serving_metrics(Metrics(), port=port):
                pass
