"""What the operator relies on in the images of Postgres, Redis, RabbitMQ and nginx.

The pods are the operator's own: its builders make the manifests, so that a mount or a variable
added there is tried here. By default the images are those that ``hack/images`` names: stand-ins,
or the official ones where these can be pulled. ``ORCHESTRATOR_TEST_IMAGES`` names others, as a
JSON object from name to reference; the same promises must hold.
"""

import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from orchestrator_operator.manifests.postgres import max_connections
from orchestrator_operator.spec import ManagedPostgres, OrchestratorSpec
from platform_under_test import wait_until

if TYPE_CHECKING:
    from tests.contract.conftest import Part

STOP_SECONDS = 10.0


# ---------------------------------------------------------------- postgres


def psql(part: "Part", statement: str, *, password: str = "") -> list[str]:
    """Words that run a statement; by the pod's own address, as every client from outside."""
    login = f"orchestrator:{password or part.password}"
    url = f"postgresql://{login}@{part.address()}/orchestrator"
    return ["psql", url, "--no-psqlrc", "-qtAc", statement]


def test_postgres_makes_the_database_for_the_user_with_the_password_of_the_file(
    postgres: "Part",
) -> None:
    answer = postgres.run(*psql(postgres, "SELECT current_user, current_database()"))

    assert answer.strip() == "orchestrator|orchestrator"


def test_postgres_refuses_a_wrong_password_from_the_network(postgres: "Part") -> None:
    answer = postgres.refuses(*psql(postgres, "SELECT 1", password="wrong"))

    assert "password authentication failed" in answer


def test_postgres_takes_settings_from_arguments_and_initdb_arguments(postgres: "Part") -> None:
    asked = "SELECT current_setting('max_connections'), current_setting('data_checksums'), "
    asked += (
        "(SELECT concat(datlocprovider, datlocale) FROM pg_database WHERE datname='orchestrator')"
    )

    answer = postgres.run(*psql(postgres, asked))

    wanted = max_connections(ManagedPostgres().resources)
    assert answer.strip() == f"{wanted}|on|bC.UTF-8"


def test_postgres_keeps_rows_and_stops_in_time_though_a_transaction_is_open(
    postgres: "Part",
) -> None:
    postgres.run(*psql(postgres, "CREATE TABLE kept AS SELECT 42 AS answer"))
    open_transaction = psql(postgres, "BEGIN; SELECT pg_sleep(120)")
    exec_ = ["kubectl", "-n", postgres.space, "exec", postgres.pod, "-c", "postgres", "--"]
    with subprocess.Popen(
        [*exec_, *open_transaction], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as client:
        sleeping = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'BEGIN;%'"
        wait_until(
            lambda: postgres.run(*psql(postgres, sleeping)).strip() == "1",
            seconds=20,
            what="the transaction to be open",
        )
        stop_seconds = postgres.restart()
        client.communicate(timeout=30)

    assert stop_seconds < STOP_SECONDS
    assert postgres.run(*psql(postgres, "SELECT answer FROM kept")).strip() == "42"


def test_postgres_opens_to_a_changed_password_with_the_data_of_before(postgres: "Part") -> None:
    before = postgres.password
    postgres.run(*psql(postgres, "CREATE TABLE older AS SELECT 1"))

    postgres.change_password()

    assert postgres.run(*psql(postgres, "SELECT count(*) FROM older")).strip() == "1"
    answer = postgres.refuses(*psql(postgres, "SELECT 1", password=before))
    assert "password authentication failed" in answer


def kill_half_way(stateful_set: dict[str, Any]) -> None:
    """Put a container first that starts the image and kills everything while initdb runs."""
    pod = stateful_set["spec"]["template"]["spec"]
    script = """
        docker-entrypoint.sh postgres &
        until ls "$PGDATA"*/PG_VERSION; do sleep 0.01; done 2>/dev/null
        kill -9 -1
    """
    server = pod["containers"][0]
    used = ("image", "env", "volumeMounts", "securityContext")
    killed = {key: server[key] for key in used}
    killed |= {"name": "killed", "command": ["sh", "-c", script]}
    pod["initContainers"].insert(0, killed)


def test_postgres_starts_over_when_its_first_start_was_killed_half_way(
    another_postgres: "Part",
) -> None:
    if "localhost/" not in another_postgres.context.images.postgres:
        pytest.skip("the official image takes a half-made folder for a database (README, Postgres)")

    another_postgres.deploy(edit=kill_half_way)

    part = another_postgres

    answer = part.run(*psql(part, "SELECT current_database()"))
    assert answer.strip() == "orchestrator"


# ---------------------------------------------------------------- redis


def redis_cli(part: "Part", *words: str, password: str = "") -> list[str]:
    return [
        "redis-cli",
        "--no-auth-warning",
        "-a",
        password or part.password,
        "-h",
        part.address(),
        *words,
    ]


def test_redis_takes_the_mounted_configuration_and_its_password(redis: "Part") -> None:
    assert redis.run(*redis_cli(redis, "PING")).strip() == "PONG"
    answer = redis.run(*redis_cli(redis, "CONFIG", "GET", "maxmemory-policy"))
    assert answer.split() == ["maxmemory-policy", "allkeys-lru"]


def test_redis_refuses_a_wrong_password_and_none(redis: "Part") -> None:
    wrong = redis.run(*redis_cli(redis, "PING", password="wrong"))
    none = redis.run("redis-cli", "-h", redis.address(), "PING")

    assert "NOAUTH" in wrong
    assert "NOAUTH" in none


def test_redis_stops_in_time_and_comes_back(redis: "Part") -> None:
    assert redis.restart() < STOP_SECONDS

    assert redis.run(*redis_cli(redis, "PING")).strip() == "PONG"


# ---------------------------------------------------------------- rabbitmq

QUEUE = "/api/queues/%2F/kept"
MESSAGE = {
    "properties": {"delivery_mode": 2},
    "routing_key": "kept",
    "payload_encoding": "string",
    "payload": "rung",
}
TAKE_ONE = {"count": 1, "ackmode": "ack_requeue_true", "encoding": "auto"}


def management(part: "Part", address: str, *, password: str = "") -> httpx.Client:
    """A client of the broker's management plugin."""
    login = ("orchestrator", password or part.password)
    return httpx.Client(base_url=address, auth=login, timeout=20.0)


def test_rabbitmq_lets_in_the_user_of_the_mounted_definitions_and_nobody_else(
    rabbitmq: "Part",
) -> None:
    with rabbitmq.forward(15672) as address, management(rabbitmq, address) as broker:
        users = broker.get("/api/users").json()
        refused = broker.get("/api/users", auth=("orchestrator", "wrong"))

    assert [user["name"] for user in users] == ["orchestrator"]
    assert refused.status_code == 401


def test_rabbitmq_keeps_a_quorum_queues_messages_and_its_name_when_its_pod_is_replaced(
    rabbitmq: "Part",
) -> None:
    with rabbitmq.forward(15672) as address, management(rabbitmq, address) as broker:
        queue = {"durable": True, "arguments": {"x-queue-type": "quorum"}}
        broker.put(QUEUE, json=queue).raise_for_status()
        publish = "/api/exchanges/%2F/amq.default/publish"
        assert broker.post(publish, json=MESSAGE).json() == {"routed": True}
        node = broker.get("/api/overview").json()["node"]

    stop_seconds = rabbitmq.restart()

    assert stop_seconds < STOP_SECONDS
    with rabbitmq.forward(15672) as address, management(rabbitmq, address) as broker:
        assert broker.get("/api/overview").json()["node"] == node
        kept = wait_until(
            lambda: broker.post(f"{QUEUE}/get", json=TAKE_ONE).json(),
            seconds=30,
            what="the queue to have a leader and its message",
        )
    assert [one["payload"] for one in kept] == ["rung"]


def test_rabbitmq_takes_a_changed_password_at_its_next_start(rabbitmq: "Part") -> None:
    before = rabbitmq.password

    rabbitmq.change_password()

    with rabbitmq.forward(15672) as address, management(rabbitmq, address) as broker:
        assert broker.get("/api/whoami").json()["name"] == "orchestrator"
        assert broker.get("/api/whoami", auth=("orchestrator", before)).status_code == 401


def test_rabbitmq_serves_metrics_and_answers_its_own_diagnostics(rabbitmq: "Part") -> None:
    with rabbitmq.forward(15692) as address:
        metrics = httpx.get(f"{address}/metrics", timeout=20.0).text

    assert "rabbitmq_queue_messages" in metrics
    rabbitmq.run("rabbitmq-diagnostics", "-q", "ping")


# ---------------------------------------------------------------- nginx


def test_nginx_serves_the_mounted_configuration_and_logs_to_the_output(edge: "Part") -> None:
    with edge.forward(8080) as address:
        alive = httpx.get(f"{address}/livez", timeout=20.0)
        # There is no API behind it here.
        refusal = httpx.get(f"{address}/api/v1/tasks", timeout=20.0)

    assert alive.text == "ok\n"
    assert refusal.status_code == 503
    assert refusal.headers["Content-Type"] == "application/problem+json"
    logs = edge.kubectl("logs", edge.workload, "--all-pods=true")
    assert '"path":"/api/v1/tasks","status":503' in logs


@pytest.mark.parametrize(
    ("trusted", "client"), [([], "127.0.0.1"), (["127.0.0.0/8"], "203.0.113.9")]
)
def test_nginx_believes_proxies_that_it_was_told_of_and_nobody_else(
    edge: "Part", trusted: list[str], client: str
) -> None:
    spec = OrchestratorSpec.model_validate({"edge": {"trustedProxies": trusted}})
    edge.context = replace(edge.context, spec=spec)
    edge.deploy()
    path = f"/seen/{client}"

    with edge.forward(8080) as address:
        # Left of what the proxy adds stands what the client claims.
        forwarded = {"X-Forwarded-For": "198.51.100.1, 203.0.113.9"}
        httpx.get(f"{address}{path}", headers=forwarded, timeout=20.0)

    logs = edge.kubectl("logs", edge.workload, "--all-pods=true")
    [line] = [line for line in logs.splitlines() if f'"path":"{path}"' in line]
    assert f'"client":"{client}"' in line


# ---------------------------------------------------------------- all


@pytest.mark.parametrize(
    ("component", "uid"), [("postgres", 999), ("redis", 999), ("rabbitmq", 999)]
)
def test_a_store_runs_as_the_uid_of_its_official_image_and_cannot_write_its_root(
    component: str, uid: int, request: pytest.FixtureRequest
) -> None:
    part: Part = request.getfixturevalue(component)

    assert part.run("id", "-u").strip() == str(uid)
    assert "Read-only file system" in part.refuses("touch", "/usr/bin/new")
