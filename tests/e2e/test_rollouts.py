"""A changed setting or image: no request fails, no task is lost, and none loses an attempt (F-30).

The client is a pod, as others' clients are: it comes through the edge's Service, with a new
connection for each request and with one that it keeps.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from client_pods import start_program
from owned_objects import await_order, read_owned
from platform_under_test import Api, Platform, wait_until

READY_SECONDS = 180.0
SHORTEST_LOAD = 100
"""Requests; fewer would not have met every pod that came or went."""
CLIENT = """
import collections, http.client, json, pathlib, sys, time
host, token = sys.argv[1:]
headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
kept, seen, failures = None, collections.Counter(), []
def ask(connection, method, path, body=None):
    connection.request(method, path, body and json.dumps(body), headers)
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read())
while not pathlib.Path("/tmp/stop").exists():
    for is_kept in (False, True):
        if kept is None:
            kept = http.client.HTTPConnection(host, timeout=10)
        connection = kept if is_kept else http.client.HTTPConnection(host, timeout=10)
        try:
            status, made = ask(connection, "POST", "/api/v1/tasks", {"task_type": "cleanup_temp"})
            assert status == 201, (status, made)
            status, task = ask(connection, "GET", f"/api/v1/tasks/{made['task_id']}")
            assert status == 200, (status, task)
            seen["good"] += 2
        except Exception as error:
            # What a server may do to a connection on which it has nothing to answer.
            is_end = isinstance(error, (http.client.RemoteDisconnected, BrokenPipeError))
            if is_kept and is_end:
                seen["closed while idle"] += 1
            else:
                failures.append(f"{time.time():.1f} {'kept' if is_kept else 'new'} {error!r}")
            kept = None
        if not is_kept:
            connection.close()
        time.sleep(0.05)
print(json.dumps({"seen": seen, "failures": failures[:20]}))
"""


@pytest.fixture
def client(platform: Platform, api: Api) -> Iterator[str]:
    """A pod that asks without a pause."""
    start_program(platform, "client", CLIENT, f"{platform.name}-edge", api.tokens["access_token"])
    wait_until(
        lambda: platform.get("pod", "client")["status"].get("phase") == "Running",
        seconds=30,
        what="the client to run",
    )
    yield "client"
    platform.kubectl("delete", "pod", "client", "--wait=false")


@pytest.fixture
def changed(platform: Platform) -> Iterator[Platform]:
    """A platform that is changed, and changed back."""
    spec, owned = platform.resource()["spec"], read_owned(platform)
    before = {part: spec[part] for part in ("api", "edge", "worker")}
    yield platform
    platform.merge("orchestrator", platform.name, {"spec": before})
    platform.await_ready(seconds=READY_SECONDS)
    await_order(platform, owned)


def found_by(platform: Platform, client: str) -> dict[str, Any]:
    """Let the client come to its end; return what it saw."""
    platform.kubectl("exec", client, "--", "touch", "/tmp/stop")  # noqa: S108 - in the pod
    wait_until(
        lambda: platform.get("pod", client)["status"].get("phase") == "Succeeded",
        seconds=30,
        what="the client to end",
    )
    found: dict[str, Any] = json.loads(platform.kubectl("logs", client))
    return found


@pytest.mark.timeout(2 * READY_SECONDS + 120)
def test_a_roll_out_fails_no_request_and_burns_no_attempt(
    changed: Platform, api: Api, client: str
) -> None:
    changed.scale_by(min=2)
    ids = [api.submit("demo_sleep", seconds=8) for _ in range(12)]
    wait_until(
        lambda: any(status == "PROCESSING" for status in api.statuses().values()),
        seconds=60,
        what="workers to be at work",
    )
    replaced = {
        pod["metadata"]["uid"]
        for component in ("api", "edge", "worker")
        for pod in changed.list("pods", component=component)
    }

    settings = {
        "api": {"accessTokenTTL": "16m"},
        "edge": {"resources": {"requests": {"cpu": "21m"}}},
        "worker": {"concurrency": 5, "taskTimeout": "10m"},
    }
    changed.merge("orchestrator", changed.name, {"spec": settings})
    wait_until(
        lambda: (
            changed.condition("Ready").get("status") == "True"
            and replaced.isdisjoint(
                pod["metadata"]["uid"]
                for component in ("api", "edge", "worker")
                for pod in changed.list("pods", component=component)
            )
        ),
        seconds=READY_SECONDS,
        what="every pod to be replaced",
    )
    api.await_all_completed(ids, seconds=120)
    found = found_by(changed, client)

    assert found["failures"] == []
    assert found["seen"]["good"] >= SHORTEST_LOAD
    assert {api.task(task_id)["attempts"] for task_id in ids} == {1}
    wait_until(
        lambda: set(api.statuses().values()) == {"COMPLETED"}, seconds=60, what="all tasks to end"
    )
