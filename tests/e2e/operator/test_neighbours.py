"""Two platforms in one namespace, both at work: neither sees, reaches or disturbs the other."""

import json
from collections.abc import Iterator

import httpx
import pytest

from operator_resources import Apply
from platform_under_test import Api, Platform, Tunnel, wait_until

READY_SECONDS = 120.0
TASKS = 15
PROBE = """
import json, socket, sys
def is_open(target):
    try:
        socket.create_connection((target, 5432), timeout=4).close()
    except OSError:
        return False
    return True
print(json.dumps({target: is_open(target) for target in sys.argv[1:]}))
"""


@pytest.fixture(scope="module")
def twin(home: str, small: Platform, apply: Apply) -> Iterator[Platform]:
    """The same once more, under another name."""
    platform = Platform(home, "twin")
    apply(platform, {})
    platform.await_ready(seconds=READY_SECONDS)
    small.await_ready(seconds=READY_SECONDS)
    yield platform
    platform.kubectl("delete", "orch", platform.name, "--wait=false")


@pytest.fixture
def users(small: Platform, twin: Platform) -> Iterator[tuple[Api, Api]]:
    """One of each platform, of the same name."""
    clients = [
        httpx.Client(
            transport=Tunnel(platform.namespace, f"{platform.name}-api"),
            base_url="http://api",
            timeout=20.0,
        )
        for platform in (small, twin)
    ]
    with clients[0], clients[1]:
        yield Api(clients[0], "neighbour"), Api(clients[1], "neighbour")


def test_each_does_its_own_tasks_and_knows_its_own_users(
    small: Platform, twin: Platform, users: tuple[Api, Api]
) -> None:
    # So few that both together stay below what an API lets one user ask.
    ids = [[user.submit("cleanup_temp") for _ in range(TASKS)] for user in users]
    for user, own in zip(users, ids, strict=True):
        user.await_all_completed(own, seconds=120)

    for platform in (small, twin):
        pods = {pod for (pod,) in platform.query("SELECT DISTINCT pod_name FROM workers")}
        assert all(pod.startswith(f"{platform.name}-worker-") for pod in pods), pods
    stranger = users[1].http.get("/api/v1/users/me", headers=users[0].headers)
    assert stranger.status_code == 401


def test_pods_reach_their_own_stores_alone(small: Platform, twin: Platform) -> None:
    [pod, *_] = small.list("pods", instance=small.name, component="api")

    seen = small.kubectl(
        *("exec", pod["metadata"]["name"], "--", "python", "-c", PROBE),
        *(f"{small.name}-postgres", f"{twin.name}-postgres"),
    )

    assert json.loads(seen) == {f"{small.name}-postgres": True, f"{twin.name}-postgres": False}


def test_what_becomes_of_one_leaves_the_other_as_it_is(small: Platform, twin: Platform) -> None:
    def state() -> dict[str, int]:
        owned = {"instance": small.name, "managed-by": "orchestrator-operator"}
        return {
            f"{kind} {each['metadata']['name']}": each["metadata"]["generation"]
            for kind in ("deployment", "statefulset", "networkpolicy")
            for each in small.list(kind, **owned)
            # The autoscaler decides about these all the time.
            if not each["metadata"]["name"].endswith("-worker")
        }

    before = state()
    twin.merge("orchestrator", twin.name, {"spec": {"api": {"replicas": 1}}})
    wait_until(
        lambda: twin.get("deployment", f"{twin.name}-api")["spec"]["replicas"] == 1,
        seconds=20,
        what="the twin to be changed",
    )
    twin.await_ready(seconds=READY_SECONDS)

    assert state() == before
    assert small.condition("Ready")["status"] == "True"
