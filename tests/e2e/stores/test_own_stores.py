"""A platform on stores that it does not run: Postgres over TLS, Redis and RabbitMQ, all elsewhere.

They run on this machine, on the address from which the node is reached.
"""

import asyncio
import json
import secrets
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import asyncpg
import httpx
import pytest

import services
from loopback import LOOPBACK, make_certificate
from own_stores import await_postgres
from platform_under_test import (
    Api,
    Platform,
    Tunnel,
    address_for_pods,
    namespace,
    wait_until,
)

READY_SECONDS = 90.0
NOTICED_SECONDS = 60.0
USER = "tenant"
PLACE = "task-service"
"""Of this platform alone: a database, and a virtual host."""
NAMES = {"postgres": "their-postgres", "redis": "their-redis", "rabbitmq": "their-rabbitmq"}
"""Of the Secrets."""
SPEC: dict[str, Any] = {
    "api": {"replicas": 1},
    "worker": {"scaling": {"min": 1, "max": 2}},
    **{
        store: {
            "external": {
                "secretRef": {"name": name},
                "tls": "Verified" if store == "postgres" else "Disabled",
            }
        }
        for store, name in NAMES.items()
    },
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """Servers of somebody else's, and what they tell their users."""

    postgres: services.Service
    secrets: dict[str, dict[str, str]]
    """Name → content."""

    def ask_postgres(self, statement: str, *arguments: object) -> list[dict[str, Any]]:
        """Ask as the one who runs it."""
        return asyncio.run(_ask(self.postgres.port, PLACE, statement, *arguments))


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stores]:
    address = address_for_pods()
    certificate = make_certificate(tmp_path_factory.mktemp("tls"), f"IP:{address}")
    password = secrets.token_urlsafe(12)
    addresses = dict.fromkeys((LOOPBACK, address))
    with ExitStack() as stack:
        postgres = stack.enter_context(
            services.postgres(certificate=certificate, addresses=list(addresses))
        )
        redis = stack.enter_context(services.redis(password=password, addresses=list(addresses)))
        rabbitmq = stack.enter_context(services.rabbitmq(addresses=list(addresses)))
        asyncio.run(await_postgres(postgres.port))
        asyncio.run(_make_database(postgres.port, password))
        services.await_broker(rabbitmq)
        _make_virtual_host(rabbitmq, password)
        yield Stores(
            postgres=postgres,
            secrets={
                NAMES["postgres"]: {
                    "host": address,
                    "port": str(postgres.port),
                    "username": USER,
                    "password": password,
                    "database": PLACE,
                    "ca.crt": certificate[0].read_text(encoding="utf-8"),
                },
                NAMES["redis"]: {"uri": f"redis://:{password}@{address}:{redis.port}/7"},
                NAMES["rabbitmq"]: {
                    "host": address,
                    "port": str(rabbitmq.port),
                    "username": USER,
                    "password": password,
                    "virtual-host": PLACE,
                },
            },
        )


@pytest.mark.timeout(420)
def test_a_platform_lives_on_stores_of_others(stores: Stores) -> None:
    with namespace(f"own-stores-{secrets.token_hex(3)}") as name:
        platform = Platform(name, "demo")
        apply(platform, SPEC)
        told = wait_until(
            lambda: platform.condition("Degraded").get("message", ""),
            seconds=NOTICED_SECONDS,
            what="the missing Secret to be told",
        )
        assert "names the Secret their-postgres, which is not there; create it with" in told

        for secret, content in stores.secrets.items():
            make_secret(platform, secret, content)
        platform.await_ready(seconds=READY_SECONDS)

        assert platform.list("statefulsets") == []
        assert platform.condition("PostgresReady")["reason"] == "External"
        with httpx.Client(
            transport=Tunnel(name, "demo-api"), base_url="http://api", timeout=10.0
        ) as http:
            api = Api(http, "ada")
            api.await_all_completed(
                [api.submit("demo_sleep", seconds=0.1) for _ in range(20)], seconds=60
            )
            assert no_connection_is_plain(stores)
            its_absence_is_told_and_survived(platform, stores, api)

    kept = stores.ask_postgres("SELECT count(*) AS tasks FROM tasks WHERE status = 'COMPLETED'")
    assert kept == [{"tasks": 21}]


def its_absence_is_told_and_survived(platform: Platform, stores: Stores, api: Api) -> None:
    with services.killed(stores.postgres):
        wait_until(
            lambda: platform.condition("PostgresReady").get("reason") == "Unreachable",
            seconds=NOTICED_SECONDS,
            what="Postgres's absence to be told",
        )
        assert platform.condition("Ready")["status"] == "False"
    platform.await_ready(seconds=READY_SECONDS)
    assert api.await_final(api.submit("demo_sleep", seconds=0.1))["status"] == "COMPLETED"


def no_connection_is_plain(stores: Stores) -> bool:
    """Whether the API, the worker and the operator are all there, over TLS."""
    seen = stores.ask_postgres(
        "SELECT DISTINCT application_name AS name, ssl FROM pg_stat_activity"
        " JOIN pg_stat_ssl USING (pid) WHERE usename = $1",
        USER,
    )
    assert {row["name"] for row in seen} >= {"orchestrator-api", "orchestrator-operator"}
    return all(row["ssl"] for row in seen)


def apply(platform: Platform, spec: dict[str, Any]) -> None:
    resource = {
        "apiVersion": "taskorchestrator.dev/v1alpha1",
        "kind": "Orchestrator",
        "metadata": {"name": platform.name},
        "spec": spec,
    }
    platform.kubectl("apply", "-f", "-", input_text=json.dumps(resource))


def make_secret(platform: Platform, name: str, content: dict[str, str]) -> None:
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name},
        "stringData": content,
    }
    platform.kubectl("apply", "-f", "-", input_text=json.dumps(secret))


async def _make_database(port: int, password: str) -> None:
    await _ask(port, "postgres", f"CREATE ROLE {USER} LOGIN PASSWORD '{password}'")
    await _ask(port, "postgres", f'CREATE DATABASE "{PLACE}" OWNER {USER}')


async def _ask(
    port: int, database: str, statement: str, *arguments: object
) -> list[dict[str, Any]]:
    connection = await asyncpg.connect(
        host=LOOPBACK, port=port, user="postgres", database=database, ssl="require"
    )
    try:
        return [dict(row) for row in await connection.fetch(statement, *arguments)]
    finally:
        await connection.close()


def _make_virtual_host(rabbitmq: services.Service, password: str) -> None:
    everything = {"configure": ".*", "write": ".*", "read": ".*"}
    user = {"password": password, "tags": ""}
    services.broker_api(rabbitmq, "PUT", f"vhosts/{quote(PLACE)}")
    services.broker_api(rabbitmq, "PUT", f"users/{USER}", user)
    services.broker_api(rabbitmq, "PUT", f"permissions/{quote(PLACE)}/{USER}", everything)
