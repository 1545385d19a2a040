"""RabbitMQ on three nodes: one cluster, queues on all of them, and a roll-out nobody notices."""

import json
import subprocess
import time
from collections.abc import Iterator

import httpx
import pytest

from operator_resources import SMALL, Apply
from platform_under_test import Api, Platform, Tunnel, wait_until

READY_SECONDS = 180.0
ROLLED_SECONDS = 240.0
QUEUES = {"task.created", "task.dead"}
PAUSE_SECONDS = 0.2
PROMPT_SECONDS = 5.0
LONGEST_SECONDS = 20.0
"""A message that is lost with the broker that goes is sent again after ten seconds."""
BROKERS = 3


@pytest.fixture(scope="module")
def brokers(home: str, apply: Apply) -> Iterator[Platform]:
    platform = Platform(home, "brokers")
    managed = {**SMALL["rabbitmq"]["managed"], "replicas": 3}
    worker = {**SMALL["worker"], "scaling": {"min": 1, "max": 1}}
    api = {**SMALL["api"], "rateLimit": {"preset": "Generous"}}
    apply(platform, {"rabbitmq": {"managed": managed}, "worker": worker, "api": api})
    platform.await_ready(seconds=READY_SECONDS)
    yield platform
    platform.kubectl("delete", "orch", platform.name, "--wait=false")


@pytest.fixture(scope="module")
def user(brokers: Platform) -> Iterator[Api]:
    transport = Tunnel(brokers.namespace, f"{brokers.name}-api")
    with httpx.Client(transport=transport, base_url="http://api", timeout=30.0) as http:
        yield Api(http, "cluster-user")


def members_of_queues(platform: Platform) -> dict[str, int]:
    """Return on how many nodes each queue is and answers."""
    listed = platform.kubectl(
        *("exec", f"{platform.name}-rabbitmq-0", "-c", "rabbitmq", "--"),
        *("rabbitmqctl", "-q", "--formatter", "json", "list_queues", "name", "online"),
    )
    return {queue["name"]: len(queue["online"]) for queue in json.loads(listed)}


def await_whole_queues(platform: Platform) -> None:
    wait_until(
        lambda: members_of_queues(platform) == dict.fromkeys(QUEUES, BROKERS),
        seconds=60,
        what="each queue to be on three nodes",
        every=2,
    )


def test_three_brokers_are_one_cluster_with_each_queue_on_every_node(brokers: Platform) -> None:
    await_whole_queues(brokers)

    budget = brokers.get("poddisruptionbudget", f"{brokers.name}-rabbitmq")
    assert budget["status"]["disruptionsAllowed"] == 1


@pytest.mark.alone
def test_tasks_go_on_while_one_broker_after_the_other_is_replaced(
    brokers: Platform, user: Api
) -> None:
    brokers.kubectl("rollout", "restart", f"statefulset/{brokers.name}-rabbitmq")
    command = [
        *("kubectl", "-n", brokers.namespace, "rollout", "status"),
        *(f"statefulset/{brokers.name}-rabbitmq", f"--timeout={ROLLED_SECONDS:.0f}s"),
    ]
    ids = []
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as rolling:
        while rolling.poll() is None:
            ids.append(user.submit("cleanup_temp"))
            user.await_final(ids[-1], seconds=60)
            time.sleep(PAUSE_SECONDS)

    assert rolling.returncode == 0
    rows = brokers.query(
        "SELECT extract(epoch FROM started_at - created_at), attempts"  # noqa: S608 - ids are numbers
        f" FROM tasks WHERE status = 'COMPLETED' AND id IN ({', '.join(map(str, ids))})"
    )
    waits = sorted(float(seconds) for seconds, _ in rows)
    assert len(waits) == len(ids) > 10
    assert {attempts for _, attempts in rows} == {"1"}
    # Each broker takes one message with it at most; for all others nothing has happened.
    assert waits[-BROKERS - 1] < PROMPT_SECONDS, waits[-5:]
    assert waits[-1] < LONGEST_SECONDS, waits[-5:]
    await_whole_queues(brokers)
