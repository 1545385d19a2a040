"""Show the platform at work: one task of every type, then a burst that scales the workers.

Before: ``installing`` has made the sample ready.
After: a person has seen tasks complete and workers come and go.
"""

import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from hack.stack.cluster import Cluster
from hack.stack.installing import NAME, NAMESPACE
from hack.tooling.errors import ToolError

MAIL_TYPE = "send_email"
BURST_TYPE = "demo_sleep"
BURST_TASKS = 60
BURST_TASK_SECONDS = 2
TASK_SECONDS = 90.0
LONG_POLL_SECONDS = 8
"""Below the client's timeout of 10 s."""
SCALE_SECONDS = 180.0
FINAL = ("COMPLETED", "FAILED", "CANCELLED")


@dataclass(frozen=True, slots=True)
class Login:
    """An account made for this demonstration."""

    username: str
    password: str
    token: str


def sign_up(api: httpx.Client) -> Login:
    """Register a new account and log in."""
    username, password = f"demo-{secrets.token_hex(3)}", secrets.token_urlsafe(12)
    credentials = {"username": username, "password": password}
    _answer(api.post("/auth/register", json=credentials))
    token = _answer(api.post("/auth/login", json=credentials))["access_token"]
    api.headers["Authorization"] = f"Bearer {token}"
    return Login(username, password, str(token))


def show(api: httpx.Client, cluster: Cluster, *, mails_url: str) -> None:
    """Show every type, the mail that one of them sent, then how workers scale.

    Args:
        api: of a user who is logged in.
        cluster: where the workers are.
        mails_url: of the mail server that keeps what it gets.
    """
    types = [one["task_type"] for one in _answer(api.get("/api/v1/task-types"))["task_types"]]
    print("one task of every type:", flush=True)
    show_every_type(api, types)
    if MAIL_TYPE in types:
        show_mails(mails_url)
    if BURST_TYPE not in types:
        print(f"no burst: the worker's image has no {BURST_TYPE} (see hack/samples/demo-tasks)")
        return
    print("a burst, and the workers that come for it:", flush=True)
    show_scaling(api, cluster)


def show_every_type(api: httpx.Client, types: Sequence[str]) -> None:
    """Run one task of each built-in type with an empty payload and show its way."""
    for name in sorted(one for one in types if not one.startswith("demo_")):
        task = _answer(api.post("/api/v1/tasks", json={"task_type": name}))
        steps = [f"{status} {seconds:.2f} s" for status, seconds in _watch(api, task["task_id"])]
        print(f"    {name:16} {' → '.join(steps)}", flush=True)


def show_mails(mails_url: str) -> None:
    """Show what the mail server got.

    Raises:
        ToolError: it got nothing.
    """
    mails = _answer(httpx.get(f"{mails_url}/api/v1/messages", timeout=10.0))["messages"]
    if not mails:
        raise ToolError("send_email is COMPLETED, but the mail server has no mail")
    for mail in mails[:1]:
        receivers = ", ".join(each["Address"] for each in mail["To"])
        print(f"    the mail       {mail['Subject']!r} to {receivers}", flush=True)


def show_scaling(api: httpx.Client, cluster: Cluster) -> None:
    """Send a burst of short tasks; show the number of workers until it is back."""
    payload = {"seconds": BURST_TASK_SECONDS}
    task = {"task_type": BURST_TYPE, "payload": payload}
    ids = [_answer(api.post("/api/v1/tasks", json=task))["task_id"] for _ in range(BURST_TASKS)]
    print(f"    sent {BURST_TASKS} tasks of {BURST_TASK_SECONDS} s each", flush=True)
    start = time.monotonic()
    for replicas, ready, queued in _watch_workers(cluster):
        seconds = time.monotonic() - start
        print(f"    {seconds:5.1f} s  workers {ready}/{replicas}  queued {queued}", flush=True)
    _expect_completed(api, ids)


def _watch(api: httpx.Client, task_id: int) -> Iterator[tuple[str, float]]:
    """Yield each status that the task shows, with the seconds since it was sent."""
    known: dict[str, str] = {}
    start, shown = time.monotonic(), ""
    while shown not in FINAL:
        # A long poll: the API answers when the task is no longer what it was.
        wait = {"wait": LONG_POLL_SECONDS} if known else {}
        response = api.get(f"/api/v1/tasks/{task_id}", params=wait, headers=known)
        if response.status_code != httpx.codes.NOT_MODIFIED:
            task = _answer(response)
            known = {"If-None-Match": response.headers["ETag"]}
            if task["status"] != shown:
                shown = task["status"]
                yield shown, time.monotonic() - start
        if time.monotonic() - start > TASK_SECONDS:
            raise ToolError(f"task {task_id} is still {shown} after {TASK_SECONDS:.0f} s")
    if shown != "COMPLETED":
        raise ToolError(f"task {task_id} ended as {shown}: {task['error_message']}")


def _watch_workers(cluster: Cluster) -> Iterator[tuple[int, int, int]]:
    """Yield (wanted, ready, queued) on each change, until the pool grew and came back."""
    start, shown, peak = time.monotonic(), (-1, -1, -1), 0
    while time.monotonic() - start < SCALE_SECONDS:
        deployment = cluster.get("deployment", f"{NAME}-worker", f"--namespace={NAMESPACE}") or {}
        resource = cluster.get("orchestrator", NAME, f"--namespace={NAMESPACE}") or {}
        wanted = deployment.get("spec", {}).get("replicas", 0)
        ready = deployment.get("status", {}).get("readyReplicas", 0)
        queued = resource.get("status", {}).get("worker", {}).get("queued", 0)
        minimum = resource["spec"].get("worker", {}).get("scaling", {}).get("min", 0)
        if (wanted, ready, queued) != shown:
            shown = (wanted, ready, queued)
            yield shown
        peak = max(peak, wanted)
        if peak > max(minimum, 1) and wanted <= minimum:
            return
        time.sleep(0.5)
    raise ToolError(f"the workers did not scale out and back within {SCALE_SECONDS:.0f} s")


def _expect_completed(api: httpx.Client, ids: list[int]) -> None:
    unfinished = [
        task_id
        for task_id in ids
        if _answer(api.get(f"/api/v1/tasks/{task_id}"))["status"] != "COMPLETED"
    ]
    if unfinished:
        raise ToolError(f"tasks {unfinished} did not complete")
    print(f"    all {len(ids)} tasks COMPLETED", flush=True)


def _answer(response: httpx.Response) -> dict[str, Any]:
    """Return the JSON of a successful answer.

    Raises:
        ToolError: the API refused.
    """
    if response.is_error:
        raise ToolError(
            f"{response.request.method} {response.request.url} answered"
            f" {response.status_code}: {response.text}"
        )
    answer: dict[str, Any] = response.json()
    return answer
