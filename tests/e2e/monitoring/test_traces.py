"""A task's trace on the cluster, and the log lines that share its name.

Jaeger runs on this machine, on the address from which the node is reached.
"""

import json
import secrets
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

import services
from collected_traces import await_trace
from installed_operator import SELECTOR
from operator_resources import TINY
from orchestrator_core.topology import TASK_QUEUE
from platform_under_test import Api, Platform, Tunnel, address_for_pods, kubectl, namespace

READY_SECONDS = 90.0
SPEC: dict[str, Any] = {
    "api": {"replicas": 1, "resources": TINY},
    "edge": {"replicas": 1},
    "worker": {"resources": TINY, "scaling": {"max": 1}},
    "postgres": {"managed": {"storage": {"size": "512Mi"}, "resources": TINY}},
    "rabbitmq": {"managed": {"storage": {"size": "512Mi"}, "resources": TINY}},
}
ON_EVERY_LINE = {"app", "at", "event", "level", "logger"}
ATTEMPT = ("claim", "execute", "settle")
ABOUT_A_TASK = {"task_id", "trace_id"}


@pytest.fixture(scope="module")
def collector() -> Iterator[services.Service]:
    with services.jaeger(address=address_for_pods()) as running:
        yield running


@pytest.fixture(scope="module")
def traced(collector: services.Service) -> Iterator[Platform]:
    tracing = {"endpoint": services.collector_url(collector), "samplingPercent": 100}
    manifest = {
        "apiVersion": "taskorchestrator.dev/v1alpha1",
        "kind": "Orchestrator",
        "metadata": {"name": "traced"},
        "spec": {**SPEC, "monitoring": {"tracing": tracing}},
    }
    with namespace(f"e2e-traces-{secrets.token_hex(3)}") as name:
        platform = Platform(name, "traced")
        platform.kubectl("apply", "-f", "-", input_text=json.dumps(manifest))
        platform.await_ready(seconds=READY_SECONDS)
        yield platform


@pytest.fixture(scope="module")
def task(traced: Platform) -> dict[str, Any]:
    """A task that needed two attempts, as its owner sees it."""
    transport = Tunnel(traced.namespace, f"{traced.name}-api")
    with httpx.Client(transport=transport, base_url="http://api", timeout=10.0) as http:
        api = Api(http, "ada")
        return api.await_final(api.submit("demo_fail", times=1))


def test_a_tasks_trace_reaches_the_collector_whole(
    traced: Platform, collector: services.Service, task: dict[str, Any]
) -> None:
    url, twice = f"http://127.0.0.1:{collector.port}", (f"publish {TASK_QUEUE}", *ATTEMPT) * 2
    trace = await_trace(url, task["trace_id"], "POST /api/v1/tasks", *twice)

    request = trace.one("POST /api/v1/tasks")
    assert request.parent_id is None
    assert trace.children(request) >= {
        "take a token",
        "insert tasks",
        f"publish {TASK_QUEUE}",
        f"process {TASK_QUEUE}",
    }
    attempts = trace.all(f"process {TASK_QUEUE}")
    assert [each.tags["orchestrator.task.outcome"] for each in attempts] == ["retried", "succeeded"]
    for attempt in attempts:
        assert attempt.parent_id == request.id
        assert trace.children(attempt) == {*ATTEMPT}
    pods = {
        component: {pod["metadata"]["name"] for pod in traced.list("pods", component=component)}
        for component in ("api", "worker")
    }
    assert request.instance in pods["api"]
    assert {each.instance for each in attempts} <= pods["worker"]


def test_log_lines_of_every_process_have_one_shape_and_name_the_trace(
    traced: Platform, task: dict[str, Any]
) -> None:
    about_task = []
    for component in ("api", "worker"):
        lines = [
            line
            for pod in traced.list("pods", component=component)
            for line in lines_of(traced.namespace, pod["metadata"]["name"])
        ]
        assert {line["app"] for line in lines} == {component}
        about_task.append([line for line in lines if line.get("task_id") == task["id"]])
    for lines in about_task:
        assert lines
        assert all(line.get("trace_id") == task["trace_id"] for line in lines)


def test_the_operator_speaks_the_same_language(traced: Platform) -> None:
    found = json.loads(kubectl("get", "pods", "-A", "-l", SELECTOR, "-o", "json"))["items"]
    [operator] = [pod for pod in found if not pod["metadata"].get("deletionTimestamp")]

    lines = lines_of(operator["metadata"]["namespace"], operator["metadata"]["name"])

    assert {line["app"] for line in lines} == {"operator"}
    ours = {"namespace": traced.namespace, "resource": traced.name}
    about = {line["event"] for line in lines if line.items() >= ours.items()}
    assert about >= {"applied", "scaled"}


def lines_of(namespace: str, pod: str) -> list[dict[str, Any]]:
    """Return the log of a pod; every line must be an object of the common shape."""
    text = kubectl("logs", "-n", namespace, pod, "--tail=2000")
    others = [line for line in text.splitlines() if not line.startswith("{")]
    assert others == []
    lines = [json.loads(line) for line in text.splitlines()]
    assert lines
    for line in lines:
        assert line.keys() >= ON_EVERY_LINE, line
        assert "task_id" not in line or line.keys() >= ABOUT_A_TASK, line
    return lines
