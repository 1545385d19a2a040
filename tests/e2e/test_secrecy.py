"""Nothing that is secret is told: not in logs, events, status, manifests or metrics."""

import base64
import secrets
from collections.abc import Iterator, Mapping
from typing import Any

import httpx

from platform_under_test import Api, Platform, kubectl, kubectl_unless_gone

SHORTEST = 12
"""Of what can be looked for; ports and names are shorter."""
PUBLIC = frozenset({"type", "provider", "host", "port", "username", "database"})
"""Keys of the Secrets that say where a store is."""
METRICS_PORT = 9090
OPERATOR = "app.kubernetes.io/name=orchestrator-operator"
NAMES = 'jsonpath={range .items[*]}{.metadata.namespace}/{.metadata.name}{"\\n"}{end}'


def test_no_secret_is_told_anywhere(platform: Platform, http: httpx.Client) -> None:
    password = secrets.token_urlsafe(16)
    api = Api(http, f"user-{secrets.token_hex(4)}", password)
    wrong = {"username": "somebody", "password": secrets.token_urlsafe(16)}
    http.post("/auth/login", json=wrong)
    api.await_final(api.submit("demo_sleep", seconds=0.1))
    canaries = {
        **dict(secrets_of(platform)),
        "a password": password,
        "a wrong password": wrong["password"],
        **{name: api.tokens[name] for name in ("access_token", "refresh_token")},
    }

    told = dict(places(platform))

    assert len(canaries) > 10
    assert all(told.values())
    leaks = {(place, name) for place, text in told.items() for name in found(text, canaries)}
    assert not leaks


def found(text: str, canaries: Mapping[str, str]) -> set[str]:
    """Return which are in a text, as they are or as a Secret holds them."""
    return {
        name
        for name, value in canaries.items()
        if value in text or base64.b64encode(value.encode()).decode() in text
    }


def secrets_of(platform: Platform) -> Iterator[tuple[str, str]]:
    for secret in platform.list("secrets", instance=platform.name):
        for key, value in (secret.get("data") or {}).items():
            text = base64.b64decode(value).decode()
            if key not in PUBLIC and len(text) >= SHORTEST:
                yield f"{secret['metadata']['name']}/{key}", text


def running_workers(platform: Platform) -> list[dict[str, Any]]:
    pods = platform.list("pods", component="worker")
    return [pod for pod in pods if pod["status"].get("phase") == "Running"]


def places(platform: Platform) -> Iterator[tuple[str, str]]:
    """Return all that people who may not read Secrets may read."""
    for pod in platform.list("pods", instance=platform.name):
        name = pod["metadata"]["name"]
        of_all = ("--all-containers=true", "--tail=-1")
        # Workers go by themselves, also between a list and a look.
        log = kubectl_unless_gone("-n", platform.namespace, "logs", name, *of_all)
        if log is not None:
            yield f"log of {name}", log or "(empty)"
    for line in kubectl("get", "pods", "-A", "-l", OPERATOR, "-o", NAMES).split():
        space, name = line.split("/")
        yield "log of the operator", kubectl("-n", space, "logs", name, "--tail=-1")
    kinds = "orchestrator,deployment,statefulset,job,configmap,service,pod,events"
    yield "objects", platform.kubectl("get", kinds, "-o", "yaml")
    for pod in platform.list("pods", component="api") + running_workers(platform):
        name = pod["metadata"]["name"]
        path = f"/api/v1/namespaces/{platform.namespace}/pods/{name}:{METRICS_PORT}/proxy/metrics"
        metrics = kubectl_unless_gone("get", "--raw", path)
        if metrics is not None:
            yield f"metrics of {name}", metrics or "(empty)"
