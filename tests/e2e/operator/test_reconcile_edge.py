"""What nginx and the network policies let through, on a real cluster."""

import json
import secrets
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection

import httpx
import pytest

from client_pods import start_program
from hack.stack.patience import Patient
from platform_under_test import Api, Platform, Tunnel, kubectl, wait_until

LARGE_BODIES_OF_ONE = 22
LARGE_BYTES = 200_000
PROBE = """
import json, socket, sys
def is_open(target):
    host, port = target.rsplit(":", 1)
    try:
        socket.create_connection((host, int(port)), timeout=4).close()
    except OSError:
        return False
    return True
print(json.dumps({target: is_open(target) for target in sys.argv[1:]}))
"""


@pytest.fixture(scope="module")
def edge(small: Platform) -> Iterator[httpx.Client]:
    small.await_ready(seconds=90)
    transport = Tunnel(small.namespace, f"{small.name}-edge")
    with httpx.Client(transport=transport, base_url="http://edge", timeout=10.0) as client:
        yield client


@pytest.fixture(scope="module")
def user(small: Platform) -> Iterator[Api]:
    """Somebody behind nginx who comes back when told to."""
    small.await_ready(seconds=90)
    transport = Patient(Tunnel(small.namespace, f"{small.name}-edge"))
    with httpx.Client(transport=transport, base_url="http://edge", timeout=20.0) as client:
        yield Api(client, f"user-{secrets.token_hex(4)}")


def test_the_api_is_reached_through_the_edge(edge: httpx.Client) -> None:
    answer = edge.get("/health")

    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("application/json")


def test_a_flood_of_logins_is_stopped_whoever_it_claims_to_come_from(edge: httpx.Client) -> None:
    began_at = time.monotonic()
    answers = [
        edge.post(
            "/auth/login",
            # Without a password, which would take time to hash: a flood of a second each is none.
            json={"username": "nobody"},
            headers={"X-Forwarded-For": f"203.0.113.{number}"},
        )
        for number in range(40)
    ]
    took_seconds = time.monotonic() - began_at

    limited = [answer for answer in answers if answer.status_code == 429]
    # One at once, three in the burst, and one more for each second that the flood took.
    assert len(answers) - len(limited) <= 4 + took_seconds
    assert limited[0].json()["error"] == "Rate limit exceeded"
    assert limited[0].headers["content-type"] == "application/problem+json"
    assert limited[0].headers["retry-after"] == "1"


def test_a_body_over_the_limit_is_refused(edge: httpx.Client) -> None:
    answer = edge.post("/api/v1/tasks", content=bytes(11 * 2**20))

    assert answer.status_code == 413
    assert answer.json()["type"] == "urn:orchestrator:problem:body_too_large"
    assert answer.json()["detail"] == f"the body may have at most {10 * 2**20} bytes"


def test_one_address_can_not_fill_the_disk_with_bodies_that_never_end(small: Platform) -> None:
    tunnel = Tunnel(small.namespace, f"{small.name}-edge")
    address = tunnel.open().removeprefix("http://")

    def begin(path: str, length: int) -> HTTPConnection:
        connection = HTTPConnection(address, timeout=3)
        connection.putrequest("POST", path)
        connection.putheader("Content-Length", str(length))
        connection.endheaders(b"{")
        return connection

    def one_more(path: str, length: int = LARGE_BYTES) -> tuple[int, str]:
        with closing(begin(path, length)) as connection:
            try:
                answer = connection.getresponse()
            except TimeoutError:
                return 0, "waits for the rest of it"
            return answer.status, answer.read().decode()

    with closing(tunnel), ExitStack() as unfinished:
        for _ in range(LARGE_BODIES_OF_ONE):
            unfinished.enter_context(closing(begin("/api/v1/tasks", LARGE_BYTES)))
            time.sleep(0.02)
        wait_until(
            lambda: one_more("/api/v1/tasks")[0], seconds=20, what="one more not to be waited for"
        )

        status, told = one_more("/api/v1/tasks")
        assert status == 503
        assert "Too many large bodies are on their way" in json.loads(told)["detail"]
        # What needs no room is served: a small body, and a file, which passes piece by piece.
        assert one_more("/api/v1/tasks", 1)[0] == 401
        assert one_more("/api/v1/files")[0] == 401
        unfinished.close()
        assert wait_until(
            lambda: one_more("/api/v1/tasks")[0] == 0, seconds=20, what="room for one more"
        )


def test_a_file_larger_than_any_other_body_passes(user: Api) -> None:
    content = secrets.token_bytes(2**20) * 24

    kept = user.http.post(
        "/api/v1/files",
        params={"file_name": "large.bin"},
        content=content,
        headers={**user.headers, "Content-Type": "application/octet-stream"},
    )
    read = user.http.get(kept.headers["location"], headers=user.headers)

    assert kept.status_code == 201, kept.text
    assert kept.json()["size_bytes"] == len(content)
    assert read.content == content


def test_an_event_does_not_wait_for_the_next_one(user: Api) -> None:
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    body = {"task_type": "IMAGE_RESIZE", "run_at": later}
    task_id = user.http.post("/api/v1/tasks", json=body, headers=user.headers).json()["task_id"]

    events = f"/api/v1/tasks/{task_id}/events"
    with user.http.stream("GET", events, headers=user.headers) as stream:
        # Nothing more will happen for an hour; what is buffered would never come.
        seen = next(line for line in stream.iter_lines() if line.startswith("data:"))

    assert json.loads(seen.removeprefix("data:"))["status"] == "PENDING"


def test_a_stranger_reaches_the_edge_and_nothing_else(small: Platform) -> None:
    targets = {
        f"{small.name}-postgres:5432": False,
        f"{small.name}-redis:6379": False,
        f"{small.name}-rabbitmq:5672": False,
        f"{small.name}-api:80": False,
        f"{small.name}-edge:80": True,
    }
    start_program(small, "stranger", PROBE, *targets)

    wait_until(
        lambda: small.get("pod", "stranger")["status"].get("phase") == "Succeeded",
        seconds=60,
        what="the stranger to have tried",
    )

    found = json.loads(kubectl("-n", small.namespace, "logs", "stranger"))
    small.kubectl("delete", "pod", "stranger", "--wait=false")
    assert found == targets
