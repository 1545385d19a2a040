"""What a collector of traces gets to see, and that nothing else notices when it is broken."""

import secrets
import socket
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import httpx
import pytest

import services
from api_clients import PASSWORD
from collected_traces import CollectedTrace, await_trace, read_trace
from evidence import until
from faulty_platform import FaultyPlatform, StartTrial, Stores, a_platform
from orchestrator_core.topology import TASK_QUEUE
from task_load import a_submission

PUBLISH, PROCESS = f"publish {TASK_QUEUE}", f"process {TASK_QUEUE}"
REQUEST, ATTEMPT = ("POST /api/v1/tasks", "insert tasks"), ("claim", "execute", "settle")
A_PARENT = "b7ad6b7169203331"
"""A span of the client's own."""


@pytest.fixture(scope="module")
def collector() -> Iterator[services.Service]:
    with services.jaeger() as running:
        yield running


@pytest.fixture(scope="module")
def traced(
    stores: Stores, collector: services.Service, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[FaultyPlatform]:
    environment = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": services.collector_url(collector),
        "OTEL_TRACES_SAMPLER_ARG": "0",
    }
    folder = tmp_path_factory.mktemp("traced")
    with a_platform(stores, folder, environment=environment) as running:
        yield running


@pytest.fixture
def platform(stores: Stores, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultyPlatform]:
    """A platform whose collector takes connections, and then says nothing."""
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        environment = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{silent.getsockname()[1]}",
            "OTEL_TRACES_SAMPLER_ARG": "1",
        }
        folder = tmp_path_factory.mktemp("silent")
        with a_platform(stores, folder, environment=environment) as running:
            yield running


def test_a_task_is_one_trace_from_its_request_through_a_retry_on_another_worker(
    traced: FaultyPlatform, collector: services.Service
) -> None:
    first, second = traced.workers
    second.terminate()
    trace_id = secrets.token_hex(16)
    with httpx.Client(base_url=traced.apis[0].ready_url.removesuffix("/readyz")) as client:
        sign_in(client)
        task_id = submit(client, f"00-{trace_id}-{A_PARENT}-01", times=1)
        until(lambda: task_of(client, task_id)["attempts"] == 1, what="the first attempt")
        until(lambda: has_failed_once(traced, task_id), what="the first attempt to fail")
        first.terminate()
        second.start()
        await_completed(client, task_id)

        assert task_of(client, task_id)["trace_id"] == trace_id

    url = f"http://127.0.0.1:{collector.port}"
    trace = await_trace(url, trace_id, *REQUEST, PUBLISH, PUBLISH, *ATTEMPT, *ATTEMPT)
    request = trace.one("POST /api/v1/tasks")
    assert (request.parent_id, request.service) == (A_PARENT, "orchestrator-api")
    assert request.tags["http.response.status_code"] == 201
    assert trace.children(request) >= {"take a token", "insert tasks", PUBLISH, PROCESS}
    assert {each.parent_id for each in trace.all(PUBLISH)} == {request.id}
    attempts = trace.all(PROCESS)
    assert [each.instance for each in attempts] == [first.name, second.name]
    assert [each.tags["orchestrator.task.outcome"] for each in attempts] == ["retried", "succeeded"]
    assert [each.tags.get("error", False) for each in attempts] == [True, False]
    for attempt in attempts:
        assert attempt.parent_id == request.id
        assert trace.children(attempt) == {*ATTEMPT}
        assert attempt.service == "orchestrator-worker"
        assert attempt.start_us >= request.start_us


def test_a_read_shows_which_stores_it_asked(
    traced: FaultyPlatform, collector: services.Service
) -> None:
    traced.make_whole()
    trace_id = secrets.token_hex(16)
    with httpx.Client(base_url=traced.apis[0].ready_url.removesuffix("/readyz")) as client:
        sign_in(client)
        task_id = submit(client, f"00-{trace_id}-{A_PARENT}-00", times=0)
        answer = client.get(
            f"/api/v1/tasks/{task_id}", headers={"traceparent": f"00-{trace_id}-{A_PARENT}-01"}
        )
        assert answer.status_code == httpx.codes.OK
        await_completed(client, task_id)

    url, read = f"http://127.0.0.1:{collector.port}", "GET /api/v1/tasks/{task_id}"
    trace = await_trace(url, trace_id, read, "redis")
    request = trace.one(read)
    assert trace.children(request) >= {"take a token", "redis", "postgres"}
    assert "read the cache" in attempts_of(trace, "redis")
    assert f"find task {task_id}" in attempts_of(trace, "postgres")


def test_who_is_not_sampled_leaves_nothing(
    traced: FaultyPlatform, collector: services.Service
) -> None:
    traced.make_whole()
    unsampled, sampled = (secrets.token_hex(16) for _ in range(2))
    with httpx.Client(base_url=traced.apis[0].ready_url.removesuffix("/readyz")) as client:
        sign_in(client)
        for trace_id, flags in ((unsampled, "00"), (sampled, "01")):
            task_id = submit(client, f"00-{trace_id}-{A_PARENT}-{flags}", times=0)
            await_completed(client, task_id)

    url = f"http://127.0.0.1:{collector.port}"
    # Once the later one is there, the earlier one would be too.
    await_trace(url, sampled, *REQUEST, *ATTEMPT)
    assert read_trace(url, unsampled).spans == {}


def attempts_of(trace: CollectedTrace, store: str) -> set[str]:
    """Return what was attempted with a store."""
    return {each.tags["orchestrator.attempted"] for each in trace.all(store)}


def sign_in(client: httpx.Client) -> None:
    """Make an account; its token goes with every request from now on."""
    credentials = {"username": secrets.token_hex(6), "password": PASSWORD}
    client.post("/auth/register", json=credentials).raise_for_status()
    answer = client.post("/auth/login", json=credentials).raise_for_status()
    client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"


def submit(client: httpx.Client, traceparent: str, *, times: int) -> int:
    """Submit a task that fails so many times."""
    answer = client.post(
        "/api/v1/tasks",
        json=a_submission("demo_fail", times=times),
        headers={"traceparent": traceparent},
    )
    return int(answer.raise_for_status().json()["task_id"])


def task_of(client: httpx.Client, task_id: int) -> dict[str, Any]:
    found: dict[str, Any] = client.get(f"/api/v1/tasks/{task_id}").raise_for_status().json()
    return found


def await_completed(client: httpx.Client, task_id: int) -> None:
    until(lambda: task_of(client, task_id)["status"] == "COMPLETED", what="the task to complete")


def has_failed_once(platform: FaultyPlatform, task_id: int) -> bool:
    query = "SELECT 1 FROM task_events WHERE task_id = $1 AND kind = 'RETRY'"
    return bool(platform.witness.rows(query, task_id))


def test_a_collector_that_hangs_is_nobody_elses_trouble(
    platform: FaultyPlatform, trial: StartTrial
) -> None:
    with trial("collector hangs") as told:
        pass

    assert told.codes() <= {200, 201}
    # Neither does anybody wait for it in the end.
    for part in (*platform.workers, *platform.apis):
        assert part.terminate() == 0
