"""The original's two scripts, test_auth_rate_limiter.sh and test_ownership.sh, against the cluster.

Before: the platform is ready.
After: both layers of limits are known to hold, and nobody sees what is another's.
"""

import base64
import contextlib
import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from hack.stack.patience import Patient
from platform_under_test import Api, Platform, Tunnel

BURST = 12
NOBODY = {"username": "nobody", "password": "wrong"}
READY_SECONDS = 90.0
STRICT_CAPACITY = 3
STRICT_REFILL_SECONDS = 10.0


@pytest.fixture(scope="module")
def edge_url(platform: Platform) -> Iterator[str]:
    """nginx, as somebody outside reaches it."""
    with contextlib.closing(Tunnel(platform.namespace, f"{platform.name}-edge")) as tunnel:
        yield tunnel.open()


@pytest.fixture
def edge(edge_url: str) -> Iterator[httpx.Client]:
    """A client of nginx that comes back when it is told to."""
    transport = Patient(httpx.HTTPTransport())
    with httpx.Client(transport=transport, base_url=edge_url, timeout=10.0) as client:
        yield client


@pytest.fixture(scope="module")
def strict(platform: Platform) -> Iterator[Platform]:
    """The platform with the preset Strict on /auth; afterwards as before."""
    before = platform.resource()["spec"]["api"]["rateLimit"]["auth"]
    _limit_auth(platform, {"preset": "Strict", "capacity": None, "refillPerMinute": None})
    yield platform
    _limit_auth(platform, {"preset": None, **before})
    # The first ask under the new limit finds an empty bucket; later tests are to find a full one.
    transport = Patient(Tunnel(platform.namespace, f"{platform.name}-api"))
    with httpx.Client(transport=transport, base_url="http://api", timeout=10.0) as client:
        assert client.post("/auth/login", json=NOBODY).status_code == 401


def _limit_auth(platform: Platform, limit: dict[str, Any]) -> None:
    patch = {"spec": {"api": {"rateLimit": {"auth": limit}}}}
    platform.merge("orchestrator", platform.name, patch)
    platform.await_ready(seconds=READY_SECONDS)


def test_nginx_stops_more_logins_than_its_burst_and_lets_them_in_again(
    edge_url: str, edge: httpx.Client
) -> None:
    def log_in(number: int) -> httpx.Response:
        claimed = {"X-Forwarded-For": f"203.0.113.{number}"}
        return httpx.post(f"{edge_url}/auth/login", json=NOBODY, headers=claimed, timeout=10.0)

    with ThreadPoolExecutor(BURST) as threads:
        answers = list(threads.map(log_in, range(BURST)))
    later = edge.post("/auth/login", json=NOBODY)

    statuses = [answer.status_code for answer in answers]
    # One at once, three in the burst, and one for each second that this took.
    assert 1 <= statuses.count(401) <= 6
    assert statuses.count(401) + statuses.count(429) == BURST
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.json()["error"] == "Rate limit exceeded"
    assert refused.json()["type"] == "urn:orchestrator:problem:rate_limited"
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.headers["retry-after"] == "1"
    assert later.status_code == 401


def test_nobody_reaches_what_is_anothers(edge: httpx.Client) -> None:
    owner = Api(edge, f"owner-{secrets.token_hex(4)}")
    stranger = Api(edge, f"stranger-{secrets.token_hex(4)}")
    task_id = owner.submit("IMAGE_RESIZE")
    file_id = _upload(owner)
    ids = {"{user_id}": owner.user_id, "{task_id}": task_id, "{file_id}": file_id}
    routes = _owned_routes(edge.get("/openapi.json").json(), ids)

    refused = {
        (method, path): edge.request(method, path, headers=stranger.headers).status_code
        for method, path in routes
    }
    unknown = edge.get(f"/api/v1/tasks/{2**62}", headers=stranger.headers)
    nameless = edge.get(f"/api/v1/tasks/{task_id}")

    assert set(refused.values()) == {403}, refused
    # The original's two, and what has been added to the task API since.
    assert {
        ("GET", f"/api/v1/tasks/{task_id}"),
        ("GET", f"/api/v1/users/{owner.user_id}/tasks"),
        ("POST", f"/api/v1/tasks/{task_id}/cancel"),
        ("DELETE", f"/api/v1/files/{file_id}"),
    } <= refused.keys()
    assert (unknown.status_code, nameless.status_code) == (404, 401)
    assert owner.task(task_id)["user_id"] == owner.user_id
    assert list(owner.statuses()) == [task_id]
    assert stranger.statuses() == {}


def test_the_api_counts_an_address_in_redis_whichever_replica_it_asks(strict: Platform) -> None:
    pods = [
        pod["metadata"]["name"]
        for pod in strict.list("pods", component="api")
        if not pod["metadata"].get("deletionTimestamp")
    ]
    tunnels = [Tunnel(strict.namespace, pod=pod) for pod in pods]
    patient = Patient(tunnels[0])

    with contextlib.ExitStack() as stack:

        def client(transport: httpx.BaseTransport) -> httpx.Client:
            opened = httpx.Client(transport=transport, base_url="http://api", timeout=10.0)
            return stack.enter_context(opened)

        turns = [client(tunnel) for tunnel in tunnels] * STRICT_CAPACITY
        answers = [each.post("/auth/login", json=NOBODY) for each in turns]
        later = client(patient).post("/auth/login", json=NOBODY)

    assert len(pods) == 2
    assert [answer.status_code for answer in answers] == [401] * 3 + [429] * 3
    assert answers[-1].json()["error"] == "Rate limit exceeded"
    assert later.status_code == 401
    assert 0 < patient.waited_seconds <= STRICT_REFILL_SECONDS


def test_only_who_knows_the_key_speaks_for_another_address(strict: Platform) -> None:
    data = strict.get("secret", f"{strict.name}-edge")["data"]
    token = base64.b64decode(data["token"]).decode()
    client = f"2001:db8:{secrets.token_hex(2)}::1"

    with httpx.Client(
        transport=Tunnel(strict.namespace, f"{strict.name}-api"), base_url="http://api"
    ) as http:

        def log_in(address: str, key: str) -> int:
            headers = {"X-Forwarded-For": address, "X-Edge-Key": key}
            return http.post("/auth/login", json=NOBODY, headers=headers).status_code

        guessed = [log_in(f"203.0.113.{number}", "guessed") for number in range(BURST)]
        known = [log_in(client, token) for _ in range(STRICT_CAPACITY + 1)]

    # The bucket of the address that it really came from may have been empty before.
    assert guessed.count(429) >= BURST - STRICT_CAPACITY - 1
    assert known == [401, 401, 401, 429]


def _upload(api: Api) -> str:
    answer = api.http.post(
        "/api/v1/files",
        params={"file_name": "note.txt"},
        content=b"mine",
        headers={**api.headers, "Content-Type": "text/plain"},
    )
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def _owned_routes(document: dict[str, Any], ids: dict[str, object]) -> list[tuple[str, str]]:
    """Return each method and path that names something which belongs to somebody."""
    found = []
    for template, operations in document["paths"].items():
        path = template
        for name, value in ids.items():
            path = path.replace(name, str(value))
        if path != template:
            assert "{" not in path, f"{template} names something that this test has none of"
            methods = {"get", "post", "put", "patch", "delete", "head"} & operations.keys()
            found += [(method.upper(), path) for method in sorted(methods)]
    return found
