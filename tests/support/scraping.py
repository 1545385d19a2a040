"""A real Prometheus that reads a platform as PodMonitors would have it.

It runs beside the tests and not in the cluster, so every pod's port is forwarded; what a
PodMonitor says of paths, labels and whose labels win is taken from the PodMonitors themselves.

Before: a platform runs, and PodMonitors for it are at hand.
After: tests ask ``Prometheus`` as Grafana does.
"""

import contextlib
import json
import shutil
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import yaml

import services
from platform_under_test import KubectlError, kubectl, start_port_forward

INTERVAL_SECONDS = 1
LOOK_SECONDS = 1.5
"""How soon a new pod is read; each look is a call of kubectl."""


@dataclass(frozen=True, slots=True)
class Monitor:
    """A PodMonitor and the namespace that it is in."""

    manifest: Mapping[str, Any]
    namespace: str

    @property
    def name(self) -> str:
        """Return its name."""
        return str(self.manifest["metadata"]["name"])

    @property
    def endpoints(self) -> Sequence[Mapping[str, Any]]:
        """Return what is read of each pod."""
        found: Sequence[Mapping[str, Any]] = self.manifest["spec"]["podMetricsEndpoints"]
        return found

    def pods(self) -> list[dict[str, Any]]:
        """Return the pods that it selects and that run."""
        selector = self.manifest["spec"]["selector"]["matchLabels"]
        wanted = ",".join(f"{key}={value}" for key, value in selector.items())
        text = kubectl("-n", self.namespace, "get", "pods", "-l", wanted, "-o", "json")
        return [pod for pod in json.loads(text)["items"] if _is_running(pod)]

    def labels_of(self, pod: Mapping[str, Any], endpoint: Mapping[str, Any]) -> dict[str, str]:
        """Return the labels that Prometheus' operator has a target carry."""
        given = pod["metadata"]["labels"]
        taken = self.manifest["spec"]["podTargetLabels"]
        labels = {
            "namespace": self.namespace,
            "pod": pod["metadata"]["name"],
            "job": f"{self.namespace}/{self.name}",
            "endpoint": endpoint["port"],
            **{_to_label(key): given[key] for key in taken if key in given},
        }
        replaced = {each["targetLabel"]: each["replacement"] for each in _relabelings(endpoint)}
        return labels | replaced


@dataclass
class Forwards:
    """Ports of pods that are forwarded to this machine."""

    open: dict[tuple[str, str, int], tuple["subprocess.Popen[str]", int]] = field(
        default_factory=dict
    )

    def to(self, pod: Mapping[str, Any], port: int) -> int | None:
        """Return the local port; None while there can't be one."""
        metadata = pod["metadata"]
        key = (metadata["namespace"], metadata["name"], port)
        if key in self.open and self.open[key][0].poll() is None:
            return self.open[key][1]
        self._end(key)
        try:
            self.open[key] = start_port_forward(key[0], f"pod/{key[1]}", f":{port}")
        except KubectlError:
            return None
        return self.open[key][1]

    def close(self) -> None:
        """End all."""
        for key in [*self.open]:
            self._end(key)

    def _end(self, key: tuple[str, str, int]) -> None:
        """End one, also if its pod has ended it."""
        if key in self.open:
            process, _ = self.open.pop(key)
            process.terminate()
            process.communicate(timeout=10)


class Prometheus:
    """Asks a Prometheus as Grafana does."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http

    def ask(self, expression: str) -> list[dict[str, Any]]:
        """Return what an expression is now, a sample for each of its series."""
        found: list[dict[str, Any]] = self._get("query", query=expression)["result"]
        return found

    def ask_range(
        self, expression: str, *, start: float, end: float, step: float
    ) -> list[dict[str, Any]]:
        """Return what an expression was, series by series."""
        found: list[dict[str, Any]] = self._get(
            "query_range", query=expression, start=start, end=end, step=step
        )["result"]
        return found

    def alerts(self) -> list[dict[str, Any]]:
        """Return the alerts that are pending or fire."""
        found: list[dict[str, Any]] = self._get("alerts")["alerts"]
        return found

    def targets(self) -> list[dict[str, Any]]:
        """Return what is read, and how that went the last time."""
        found: list[dict[str, Any]] = self._get("targets")["activeTargets"]
        return found

    def _get(self, path: str, **parameters: object) -> dict[str, Any]:
        answer = self._http.get(
            f"/api/v1/{path}", params={k: str(v) for k, v in parameters.items()}
        )
        assert answer.is_success, answer.text
        found: dict[str, Any] = answer.json()["data"]
        return found


@contextlib.contextmanager
def prometheus(
    monitors: Sequence[Monitor],
    *,
    rules: Path,
    kubelet: Sequence[Mapping[str, Any]] = (),
    evaluation_seconds: int = 5,
) -> Iterator[Prometheus]:
    """Run a Prometheus that reads what these PodMonitors select, also pods that come later.

    Args:
        monitors: who is read, and how.
        rules: to evaluate.
        kubelet: further scrape configs, as Prometheus writes them.
        evaluation_seconds: between two evaluations of the rules.
    """
    server = services.find_program("prometheus")

    def command(home: Path, port: int) -> list[str]:
        shutil.copy(rules, home / "rules.yaml")
        config = {
            "global": {
                "scrape_interval": f"{INTERVAL_SECONDS}s",
                "scrape_timeout": f"{INTERVAL_SECONDS}s",
                "evaluation_interval": f"{evaluation_seconds}s",
            },
            "rule_files": ["rules.yaml"],
            "scrape_configs": [*_scrape_configs(monitors), *kubelet],
        }
        (home / "prometheus.yml").write_text(yaml.safe_dump(config))
        (home / "targets").mkdir()
        options = {
            "config.file": home / "prometheus.yml",
            "storage.tsdb.path": home / "data",
            "web.listen-address": f"127.0.0.1:{port}",
            "log.level": "warn",
        }
        return [server, *(f"--{name}={value}" for name, value in options.items())]

    with (
        services.running("prometheus", "prometheus", command) as service,
        _following(monitors, service.home / "targets"),
        httpx.Client(base_url=f"http://127.0.0.1:{service.port}", timeout=30) as http,
    ):
        yield Prometheus(http)


def _scrape_configs(monitors: Sequence[Monitor]) -> Iterator[dict[str, Any]]:
    for monitor in monitors:
        for number, endpoint in enumerate(monitor.endpoints):
            yield {
                "job_name": f"{monitor.name}-{number}",
                "honor_labels": endpoint.get("honorLabels", False),
                "metrics_path": endpoint.get("path", "/metrics"),
                "params": dict(endpoint.get("params", {})),
                "file_sd_configs": [
                    {"files": [f"targets/{monitor.name}-{number}.json"], "refresh_interval": "1s"}
                ],
            }


@contextlib.contextmanager
def _following(monitors: Sequence[Monitor], folder: Path) -> Iterator[None]:
    """Keep the lists of targets up to date."""
    stopped, forwards = threading.Event(), Forwards()

    def follow() -> None:
        while True:
            # A look may come while the API server is busy; the next one is soon.
            with contextlib.suppress(KubectlError, subprocess.TimeoutExpired):
                for monitor in monitors:
                    _write_targets(monitor, forwards, folder)
            if stopped.wait(LOOK_SECONDS):
                return

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join(timeout=60)
        forwards.close()


def _write_targets(monitor: Monitor, forwards: Forwards, folder: Path) -> None:
    pods = monitor.pods()
    for number, endpoint in enumerate(monitor.endpoints):
        listed = [
            {"targets": [f"127.0.0.1:{local}"], "labels": monitor.labels_of(pod, endpoint)}
            for pod in pods
            if (local := forwards.to(pod, _port_of(pod, endpoint["port"]))) is not None
        ]
        path = folder / f"{monitor.name}-{number}.json"
        # Moved into place: Prometheus never reads half a list.
        draft = path.with_suffix(".draft")
        draft.write_text(json.dumps(listed))
        draft.rename(path)


def _port_of(pod: Mapping[str, Any], name: str) -> int:
    ports = [port for each in pod["spec"]["containers"] for port in each.get("ports", ())]
    return next(int(port["containerPort"]) for port in ports if port.get("name") == name)


def _is_running(pod: Mapping[str, Any]) -> bool:
    is_leaving = "deletionTimestamp" in pod["metadata"]
    return pod["status"].get("phase") == "Running" and not is_leaving


def _relabelings(endpoint: Mapping[str, Any]) -> Sequence[Mapping[str, str]]:
    found: Sequence[Mapping[str, str]] = endpoint.get("relabelings", ())
    return found


def _to_label(key: str) -> str:
    return "".join(letter if letter.isalnum() else "_" for letter in key)
