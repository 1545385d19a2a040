"""A platform on a real cluster as the end-to-end tests see it: through a kubeconfig only.

Before: ``KUBECONFIG`` names a cluster that the operator's chart is installed on.
After: the fixtures in ``conftest.py`` hand out a ready platform and its clients.
"""

import contextlib
import csv
import json
import re
import secrets
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "hack/samples/orchestrator.yaml"
KUBECTL_SECONDS = 60.0
FINAL = frozenset({"COMPLETED", "FAILED", "CANCELLED"})

FoundT = TypeVar("FoundT")


class KubectlError(Exception):
    """kubectl said no; the message is what it said."""


def kubectl(*arguments: str, input_text: str | None = None) -> str:
    """Run kubectl and return its output.

    Raises:
        KubectlError: it failed.
    """
    done = subprocess.run(
        ["kubectl", *arguments],
        input=input_text,
        capture_output=True,
        text=True,
        timeout=KUBECTL_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        raise KubectlError(done.stderr.strip())
    return done.stdout


def kubectl_unless_gone(*arguments: str) -> str | None:
    """Run kubectl and return its output, or None when what was named is not there."""
    try:
        return kubectl(*arguments)
    except KubectlError as error:
        if "NotFound" in str(error):
            return None
        raise


def address_for_pods() -> str:
    """Return the address that this machine has for the node, and so for its pods."""
    path = "{.items[0].status.addresses[?(@.type=='InternalIP')].address}"
    node = kubectl("get", "nodes", f"-o=jsonpath={path}").split()[0]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((node, 1))
        return str(probe.getsockname()[0])


def wait_until(
    look: Callable[[], FoundT | None], *, seconds: float, what: str, every: float = 0.2
) -> FoundT:
    """Return the first truthy answer of ``look``; fail the test after ``seconds``."""
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"after {seconds} s still waiting for {what}; last: {found!r}")
        time.sleep(every)


@dataclass(frozen=True, slots=True)
class Platform:
    """One Orchestrator in a namespace of its own."""

    namespace: str
    name: str

    def get(self, *arguments: str) -> Any:
        """Return objects of the namespace as JSON, or None when the named one is absent."""
        found = kubectl_unless_gone("get", "-n", self.namespace, "-o", "json", *arguments)
        return None if found is None else json.loads(found)

    def list(self, kind: str, **labels: str) -> list[dict[str, Any]]:
        """Return the namespace's objects of a kind that carry the labels."""
        selector = ",".join(f"app.kubernetes.io/{key}={value}" for key, value in labels.items())
        found: list[dict[str, Any]] = self.get(kind, "-l", selector)["items"]
        return found

    def kubectl(self, *arguments: str, input_text: str | None = None) -> str:
        """Run kubectl in the namespace."""
        return kubectl("-n", self.namespace, *arguments, input_text=input_text)

    def query(self, statement: str) -> Sequence[Sequence[str]]:
        """Ask the platform's Postgres from inside its own pod; return rows of text fields."""
        output = self.kubectl(
            "exec",
            f"{self.name}-postgres-0",
            "--",
            "psql",
            "--username=orchestrator",
            "--dbname=orchestrator",
            "--csv",
            "--tuples-only",
            f"--command={statement}",
        )
        return list(csv.reader(output.splitlines()))

    def resource(self) -> dict[str, Any]:
        """Return the custom resource."""
        found: dict[str, Any] = self.get("orchestrator", self.name)
        return found

    def condition(self, kind: str) -> dict[str, Any]:
        """Return a condition of the resource's current generation, or an empty one."""
        resource = self.resource()
        for condition in resource.get("status", {}).get("conditions", []):
            is_current = condition.get("observedGeneration") == resource["metadata"]["generation"]
            if condition["type"] == kind and is_current:
                return dict(condition)
        return {}

    def await_ready(self, *, seconds: float) -> None:
        """Wait for Ready=True of the current generation."""
        wait_until(
            lambda: self.condition("Ready").get("status") == "True",
            seconds=seconds,
            what=f"{self.name} to be ready: {self.condition('Ready').get('message')}",
        )

    def merge(self, kind: str, name: str, patch: object) -> None:
        """Merge a patch into an object."""
        self.kubectl("patch", kind, name, "--type=merge", "-p", json.dumps(patch))

    def scale_by(self, **scaling: object) -> None:
        """Set fields of ``spec.worker.scaling``."""
        patch = {"spec": {"worker": {"scaling": scaling}}}
        self.merge("orchestrator", self.name, patch)

    def messages_of(self, reason: str) -> str:
        """Return what the resource's Events of this reason say, a line each."""
        selector = f"reason={reason},involvedObject.kind=Orchestrator"
        events = self.get("events", "--field-selector", selector)["items"]
        return "\n".join(event["message"] for event in events)

    def worker_replicas(self) -> int:
        """Return how many workers are wanted."""
        deployment = self.get("deployment", f"{self.name}-worker")
        return int(deployment["spec"].get("replicas", 0)) if deployment else 0


def start_port_forward(
    namespace: str, target: str, port: str
) -> "tuple[subprocess.Popen[str], int]":
    """Start to forward a port of this machine; return the process, to be ended, and the port.

    Raises:
        KubectlError: there is nothing to forward to.
    """
    process = subprocess.Popen(
        ["kubectl", "-n", namespace, "port-forward", target, port],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    line = process.stdout.readline() if process.stdout else ""
    found = re.search(r"127\.0\.0\.1:(\d+)", line)
    if found is None:
        process.terminate()
        process.communicate(timeout=10)
        raise KubectlError(f"port-forward to {target}: {line.strip()}")
    return process, int(found.group(1))


@contextlib.contextmanager
def port_forward(platform: Platform, component: str, port: int) -> Iterator[int]:
    """Forward a port of this machine to a component's Service; give its number."""
    target = f"service/{platform.name}-{component}"
    process, local_port = start_port_forward(platform.namespace, target, f":{port}")
    try:
        yield local_port
    finally:
        process.terminate()
        process.communicate(timeout=10)


class Tunnel(httpx.BaseTransport):
    """Reaches a Service, or one pod, by ``kubectl port-forward``; opened again when that broke.

    A port-forward outlives its pod and then swallows requests, so one that was
    not used for a second is tried out first. Only a refused connection is tried
    again: a request whose answer was lost may have been carried out.
    """

    FRESH_SECONDS = 1.0

    def __init__(
        self, namespace: str, service: str = "", *, pod: str = "", patience_seconds: float = 30.0
    ) -> None:
        self._namespace = namespace
        self._target = (f"pod/{pod}", ":8080") if pod else (f"service/{service}", ":80")
        self._patience_seconds = patience_seconds
        self._process: subprocess.Popen[str] | None = None
        self._port = 0
        self._answered_at = 0.0
        self._inner = httpx.HTTPTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request through the tunnel."""
        deadline = time.monotonic() + self._patience_seconds
        while True:
            try:
                self.open()
                request.url = request.url.copy_with(host="127.0.0.1", port=self._port)
                response = self._inner.handle_request(request)
            except (httpx.ConnectError, KubectlError) as error:
                self.close()
                if time.monotonic() > deadline:
                    raise httpx.ConnectError(str(error), request=request) from error
                time.sleep(0.2)
            else:
                self._answered_at = time.monotonic()
                return response

    def close(self) -> None:
        """End the port-forward."""
        if self._process is not None:
            self._process.terminate()
            self._process.communicate(timeout=10)
            self._process = None
        self._inner.close()
        self._inner = httpx.HTTPTransport()

    def open(self) -> str:
        """Open the tunnel if it is not open; return its address."""
        if self._process is not None and self._process.poll() is None and self._is_good():
            return f"http://127.0.0.1:{self._port}"
        self.close()
        self._process, self._port = start_port_forward(self._namespace, *self._target)
        return f"http://127.0.0.1:{self._port}"

    def _is_good(self) -> bool:
        if time.monotonic() - self._answered_at < self.FRESH_SECONDS:
            return True
        try:
            httpx.get(f"http://127.0.0.1:{self._port}/livez", timeout=2.0)
        except httpx.TransportError:
            return False
        self._answered_at = time.monotonic()
        return True


class Api:
    """A client of the REST API, logged in as a user of its own."""

    def __init__(self, http: httpx.Client, username: str, password: str = "password123") -> None:  # noqa: S107 - a throw-away account
        self.http = http
        credentials = {"username": username, "password": password}
        self.user_id = int(_insist(http.post("/auth/register", json=credentials))["user_id"])
        self.tokens = _insist(http.post("/auth/login", json=credentials))
        self.headers = {"Authorization": f"Bearer {self.tokens['access_token']}"}

    def submit(self, task_type: str, **payload: object) -> int:
        """Create a task; return its id."""
        body = {"task_type": task_type, "payload": payload}
        answer = self.http.post("/api/v1/tasks", json=body, headers=self.headers)
        return int(_insist(answer)["task_id"])

    def task(self, task_id: int) -> dict[str, Any]:
        """Return a task as its owner sees it."""
        return _insist(self.http.get(f"/api/v1/tasks/{task_id}", headers=self.headers))

    def await_final(self, task_id: int, *, seconds: float = 60.0) -> dict[str, Any]:
        """Wait for a task's verdict."""

        def look() -> dict[str, Any] | None:
            task = self.task(task_id)
            return task if task["status"] in FINAL else None

        return wait_until(look, seconds=seconds, what=f"task {task_id} to end")

    def statuses(self) -> dict[int, str]:
        """Return the status of every task of this user."""
        found: dict[int, str] = {}
        cursor = 0
        while True:
            page = _insist(
                self.http.get(
                    f"/api/v1/users/{self.user_id}/tasks",
                    params={"limit": 100, "cursor": cursor},
                    headers=self.headers,
                )
            )
            found |= {task["id"]: task["status"] for task in page["tasks"]}
            if not page["next_cursor"]:
                return found
            cursor = page["next_cursor"]

    def await_all_completed(self, ids: list[int], *, seconds: float) -> None:
        """Wait until every one of these tasks is COMPLETED; fail at once if one failed."""

        def look() -> bool:
            statuses = self.statuses()
            failed = {i: statuses[i] for i in ids if statuses[i] in FINAL - {"COMPLETED"}}
            assert not failed, f"did not complete: {failed}"
            return all(statuses[i] == "COMPLETED" for i in ids)

        wait_until(look, seconds=seconds, what=f"{len(ids)} tasks to complete", every=0.5)


def _insist(response: httpx.Response) -> dict[str, Any]:
    assert response.is_success, f"{response.request.url}: {response.status_code} {response.text}"
    answer: dict[str, Any] = response.json()
    return answer


@contextlib.contextmanager
def namespace(name: str, *, level: str = "restricted") -> Iterator[str]:
    """Make a namespace that enforces a Pod Security level; delete it in the end."""
    manifest = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "labels": {"pod-security.kubernetes.io/enforce": level}},
    }
    kubectl("apply", "-f", "-", input_text=json.dumps(manifest))
    try:
        yield name
    finally:
        kubectl("delete", "namespace", name, "--wait=false")


def kill_process_one(platform: Platform, pod: dict[str, Any], container: str) -> None:
    """SIGKILL a container's first process from outside, as the kernel would: nothing cleans up."""
    # All are looked at before one is killed: its children go with it.
    first = (
        "first = [pid for pid in found if parent(pid) not in found]\n"
        "[send(pid, signal.SIGKILL) for pid in first]"
    )
    _signal(platform, pod, container, first)


@contextlib.contextmanager
def frozen(platform: Platform, pod: dict[str, Any], container: str) -> Iterator[None]:
    """Stop all of a container's processes until the context ends: connected, and silent."""
    each = "[send(pid, signal.{}) for pid in found]"
    _signal(platform, pod, container, each.format("SIGSTOP"))
    try:
        yield
    finally:
        _signal(platform, pod, container, each.format("SIGCONT"))


def _signal(platform: Platform, pod: dict[str, Any], container: str, statement: str) -> None:
    """Run a statement over ``found``, the ids of a container's processes on its node.

    A container's first process can't do such things to itself, so a pod in the host's process
    namespace does it, in a namespace of its own.
    """
    statuses = {status["name"]: status for status in pod["status"]["containerStatuses"]}
    container_id = statuses[container]["containerID"].rpartition("/")[2]
    program = (
        "import os, pathlib, signal, sys\n"
        "pids = [int(p.name) for p in pathlib.Path('/proc').iterdir() if p.name.isdigit()]\n"
        "def inside(pid):\n"
        "    try: return sys.argv[1] in pathlib.Path(f'/proc/{pid}/cgroup').read_text()\n"
        "    except OSError: return False\n"
        # Processes of the kubelet's probes come and go, also while they are looked at.
        "def parent(pid):\n"
        "    try: stat = pathlib.Path(f'/proc/{pid}/stat').read_text()\n"
        "    except OSError: return pid\n"
        # Not the smallest number: they begin again from below.
        "    return int(stat.rsplit(')')[-1].split()[1])\n"
        "def send(pid, number):\n"
        "    try: os.kill(pid, number)\n"
        "    except ProcessLookupError: pass\n"
        "found = [*filter(inside, pids)]\n"
        f"{statement}\n"
    )
    # One of ours, for it has Python: what the API runs.
    [ours] = platform.get("deployment", f"{platform.name}-api")["spec"]["template"]["spec"][
        "containers"
    ]
    manifest = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "killer"},
        "spec": {
            "hostPID": True,
            "restartPolicy": "Never",
            "nodeName": pod["spec"]["nodeName"],
            "containers": [
                {
                    "name": "killer",
                    "image": ours["image"],
                    "command": ["/opt/venv/bin/python", "-c", program, container_id],
                    "securityContext": {"privileged": True, "runAsUser": 0, "runAsNonRoot": False},
                }
            ],
        },
    }
    # A name for each: the last one's namespace may still be going.
    name = f"{platform.namespace}-killer-{secrets.token_hex(3)}"
    with namespace(name, level="privileged"):
        kubectl("-n", name, "apply", "-f", "-", input_text=json.dumps(manifest))
        killer = Platform(name, "killer")
        wait_until(
            lambda: killer.get("pod", "killer")["status"].get("phase") in ("Succeeded", "Failed"),
            seconds=30,
            what="the killer pod to end",
        )
        phase = killer.get("pod", "killer")["status"]["phase"]
        assert phase == "Succeeded", kubectl("-n", name, "logs", "killer")
