"""Every panel and every alert has data of a real platform under load, or a reason for having none.

A real Prometheus reads the platform while it works; then it is asked what Grafana would ask. What
it answered is kept in ``artifacts/dashboards.json``; ``make pictures`` draws it.
"""

import contextlib
import json
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest

from dashboard_queries import Asked, fill, of_alerts, of_dashboards
from hack.monitoring.dashboards import DASHBOARDS
from hack.monitoring.writing import CHART, RULES
from monitored import are_read, monitors_of
from platform_under_test import Api, Platform, Tunnel, kubectl, wait_until
from scraping import Prometheus, prometheus
from task_load import a_mixed_task

ARTIFACTS = Path(__file__).parent / "artifacts"
INTERVAL = "10s"
"""What Grafana would take for ``$__rate_interval``; series are read each second."""
KUBELETS_INTERVAL = "1m"
"""It measures containers every ten to twenty seconds, whoever asks."""
STEP_SECONDS = 2.0
LOAD_SECONDS = 60.0
MOST_WORKERS = 3
NO_DATA: dict[str, str] = {}
"""What has no data in this run, and why."""
NO_ALERT_DATA: dict[str, str] = {
    'orchestrator_api_requests_total{route!~"/livez|/readyz|/health", status=~"5.."}': (
        "no request failed by our fault"
    ),
}
"""The same, of what alerts look at."""
SELECTOR = re.compile(r"\b(?:orchestrator|rabbitmq)_\w+(?:\{[^{}]*\})?")


@dataclass(frozen=True, slots=True)
class Recording:
    """A Prometheus that has seen a platform work."""

    server: Prometheus
    began: float
    ended: float
    platform: Platform

    def fill(self, expression: str) -> str:
        return fill(
            expression,
            namespace=self.platform.namespace,
            orchestrator=self.platform.name,
            interval=KUBELETS_INTERVAL if "container_" in expression else INTERVAL,
        )

    def series_of(self, expression: str) -> list[dict[str, Any]]:
        return self.server.ask_range(
            self.fill(expression), start=self.began, end=self.ended, step=STEP_SECONDS
        )


@pytest.fixture(scope="module")
def recording(platform: Platform, new_users: Callable[[], Api]) -> Iterator[Recording]:
    before = platform.resource()["spec"]["worker"]["scaling"]
    platform.scale_by(mode="Automatic", min=1, max=MOST_WORKERS, idleAfter="20s")
    with (
        _kubelet() as kubelet,
        prometheus(monitors_of(platform), rules=CHART / RULES, kubelet=kubelet) as server,
    ):
        wait_until(lambda: are_read(server), seconds=60, what="all pods to be read", every=1)
        began = time.time()
        _work(platform, new_users(), new_users())
        # The panels' last points should be of a platform at rest again.
        time.sleep(20)
        yield Recording(server, began, time.time(), platform)
    platform.scale_by(**before)


@pytest.fixture(scope="module")
def new_users(http: httpx.Client) -> Callable[[], Api]:
    chance = Random()
    return lambda: Api(http, f"seen-{chance.getrandbits(40):x}")


@contextlib.contextmanager
def _kubelet() -> Iterator[list[dict[str, Any]]]:
    """Open a way to the nodes' own metrics, as a cluster's monitoring has it."""
    nodes = [
        each["metadata"]["name"]
        for each in json.loads(kubectl("get", "nodes", "-o", "json"))["items"]
    ]
    process = subprocess.Popen(
        ["kubectl", "proxy", "--port=0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        line = process.stdout.readline() if process.stdout else ""
        address = line.rpartition(" ")[2].strip()
        yield [
            {
                "job_name": f"kubelet-{node}-{path.rpartition('/')[2]}",
                # As its own ServiceMonitor has it: `namespace` and `pod` are whose they are.
                "honor_labels": True,
                "scrape_interval": "5s",
                "scrape_timeout": "5s",
                "metrics_path": f"/api/v1/nodes/{node}/proxy{path}",
                "static_configs": [{"targets": [address]}],
            }
            for node in nodes
            for path in ("/metrics", "/metrics/cadvisor")
        ]
    finally:
        process.terminate()
        process.communicate(timeout=10)


def _work(platform: Platform, one: Api, other: Api) -> None:
    """Do for a minute what people do: submit, follow, read, cancel, fail, delete what is needed."""
    chance, deadline = Random(7), time.monotonic() + LOAD_SECONDS
    stopped = threading.Event()
    following = threading.Thread(target=_follow, args=(platform, one, stopped), daemon=True)
    following.start()
    # An operator that has started since has changed nothing yet; now it restores this.
    platform.kubectl("delete", "pdb", f"{platform.name}-api")
    ids = []
    burst_at = time.monotonic() + LOAD_SECONDS / 4
    while time.monotonic() < deadline:
        body = a_mixed_task(chance)
        ids.append(one.submit(body["task_type"], **body["payload"]))
        if burst_at and time.monotonic() > burst_at:
            burst_at = 0.0
            tasks = [{"task_type": "demo_sleep", "payload": {"seconds": 1.5}}] * 150
            other.http.post(
                "/api/v1/tasks/batch", json={"tasks": tasks}, headers=other.headers
            ).raise_for_status()
        one.task(ids[-1])
        other.statuses()
        # Somebody else's, and none at all.
        other.http.get(f"/api/v1/tasks/{ids[-1]}", headers=other.headers)
        other.http.get("/api/v1/nothing", headers=other.headers)
        time.sleep(0.15)
    stopped.set()
    following.join(timeout=30)


def _follow(platform: Platform, api: Api, stopped: threading.Event) -> None:
    transport = Tunnel(platform.namespace, f"{platform.name}-api")
    with (
        httpx.Client(transport=transport, base_url="http://api", timeout=90) as http,
        http.stream("GET", "/api/v1/events", headers=api.headers) as answer,
    ):
        for _ in answer.iter_lines():
            if stopped.is_set():
                return


def test_every_panel_has_data_or_a_reason_for_having_none(recording: Recording) -> None:
    found = {each.where: recording.series_of(each.expression) for each in of_dashboards()}
    _keep(recording, found)

    empty = {where for where, series in found.items() if not _has_numbers(series)}

    assert empty == set(NO_DATA)


@pytest.mark.parametrize("asked", [*of_alerts()], ids=lambda each: each.where)
def test_everything_that_an_alert_looks_at_is_there(recording: Recording, asked: Asked) -> None:
    selectors = SELECTOR.findall(asked.expression)

    empty = {each for each in selectors if not recording.series_of(each)}

    assert selectors
    assert empty <= set(NO_ALERT_DATA)


def test_no_alert_fires_for_a_platform_that_is_well(recording: Recording) -> None:
    firing = [each for each in recording.server.alerts() if each["state"] == "firing"]

    assert firing == []


def test_a_dashboard_finds_the_platform(recording: Recording) -> None:
    platforms = {
        (each["metric"]["namespace"], each["metric"]["app_kubernetes_io_instance"])
        for each in recording.series_of('orchestrator_build_info{app="api"}')
    }
    of_autoscalers = {
        (each["metric"]["namespace"], each["metric"]["name"])
        for each in recording.series_of("orchestrator_autoscaler_active")
    }

    mine = (recording.platform.namespace, recording.platform.name)
    assert mine in platforms
    # The resource's namespace, not the operator's: that the PodMonitor leaves its labels alone.
    assert mine in of_autoscalers


def _has_numbers(series: list[dict[str, Any]]) -> bool:
    return any(value != "NaN" for each in series for _, value in each["values"])


def _keep(recording: Recording, found: dict[str, list[dict[str, Any]]]) -> None:
    """Write down what there was to see, for pictures."""
    ARTIFACTS.mkdir(exist_ok=True)
    pages = [
        {
            "title": dashboard.title,
            "panels": [
                {
                    "row": row.title,
                    "title": panel.title,
                    "unit": str(panel.unit),
                    "kind": str(panel.kind),
                    "is_stacked": panel.is_stacked,
                    "width": panel.width,
                    "queries": [
                        {
                            "legend": query.legend,
                            "is_bound": query.is_bound,
                            "series": found[
                                f"{dashboard.title.rpartition(' / ')[2]} / {row.title}"
                                f" / {panel.title} / {query.legend}"
                            ],
                        }
                        for query in panel.queries
                    ],
                }
                for row in dashboard.rows
                for panel in row.panels
            ],
        }
        for dashboard in DASHBOARDS
    ]
    kept = {"began": recording.began, "ended": recording.ended, "pages": pages}
    (ARTIFACTS / "dashboards.json").write_text(json.dumps(kept), encoding="utf-8")
