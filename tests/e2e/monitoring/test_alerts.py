"""Every alert is raised by its real fault on a real platform, and ends with it.

What holds for minutes is hurried (``hurried_alerts``); what is measured, and what is made of it, is
as on any cluster. ``tests/unit/hack/test_alerts.py`` plays the rules as they are.

Before: the chart's operator runs.
After: the platform is as it was, without a live task or a dead letter.
"""

import asyncio
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from typing import Any

import aio_pika
import httpx
import pytest
import yaml

from hack.monitoring.alerts import ALERTS, to_rules
from hurried_alerts import hurry
from installed_operator import operator_outage
from monitored import OPERATOR_NAMESPACE, are_read, monitors_of
from orchestrator_core.topology import DEAD_QUEUE, TASK_QUEUE
from platform_stores import rabbitmq_of
from platform_under_test import (
    FINAL,
    Api,
    KubectlError,
    Platform,
    Tunnel,
    frozen,
    wait_until,
)
from scraping import Prometheus, prometheus

SCALING: Mapping[str, object] = {
    "mode": "Automatic",
    "min": 1,
    "max": 1,
    "targetLatency": "1s",
}
"""One worker that is there all the time, and a promise that is soon broken."""
READY_SECONDS = 90.0
FIRES_SECONDS = 120.0
"""A task counts as stuck after a minute; all else takes seconds."""
ENDS_SECONDS = 180.0
"""A bound limits until no wish of two minutes is above it; all else is a window of 20 s, and pods
that come back."""
TASKS, TASK_SECONDS = 100, 0.5
"""More than one worker is to have, and still soon over."""
DUE_SECONDS = 2
"""As long as it may take to submit them: what is due already rings, and is not stuck."""
CLIENTS = 4
"""So that there is always an answer in the window: a silent Postgres is waited for for 3 s."""
LOOK_SECONDS = 0.3
SEVERITIES: Mapping[str, str] = {alert.name: alert.severity for alert in ALERTS}

Break = Callable[[Platform, Api], AbstractContextManager[None]]
"""Breaks something until its context ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What breaks at once, and the alerts of it, with the store that some are about."""

    breaks: tuple[Break, ...]
    raises: frozenset[str]
    leaves: frozenset[str] = frozenset()
    """What fires only when it has been mended."""


@dataclass(frozen=True, slots=True)
class Watched:
    """A platform, and a Prometheus that reads it and plays the alerts in a hurry."""

    server: Prometheus
    platform: Platform
    seen: set[str] = field(default_factory=set)
    """What has fired since the test began."""

    def told(self, *states: str) -> set[str]:
        """Return the alerts in these states about the platform or the operator."""
        about: tuple[Mapping[str, str], ...] = (
            {"namespace": self.platform.namespace, "name": self.platform.name},
            {"namespace": OPERATOR_NAMESPACE},
            {"app": "operator"},
        )
        found = set()
        for alert in self.server.alerts():
            labels = dict(alert["labels"])
            name, store = labels.pop("alertname"), labels.pop("store", "")
            severity = labels.pop("severity")
            if labels in about and alert["state"] in states:
                assert severity == SEVERITIES[name]
                found.add(f"{name} {store}".rstrip())
        return found

    def await_firing(self, names: frozenset[str]) -> None:
        """Wait until each has fired at least once."""

        def has_fired(name: str) -> bool:
            self.seen.update(self.told("firing"))
            return name in self.seen

        for name in sorted(names):
            wait_until(
                lambda: has_fired(name),  # noqa: B023 - called at once
                seconds=FIRES_SECONDS,
                what=f"{name} to fire",
                every=LOOK_SECONDS,
            )

    def await_end(self, names: frozenset[str]) -> None:
        """Wait until each neither fires nor is about to."""
        for name in sorted(names):
            wait_until(
                lambda: name not in self.told("pending", "firing"),  # noqa: B023 - called at once
                seconds=ENDS_SECONDS,
                what=f"{name} to end",
                every=LOOK_SECONDS,
            )


# What breaks


@contextmanager
def a_message_that_is_none_of_ours(platform: Platform, _: Api) -> Iterator[None]:
    """Somebody publishes to our queue."""

    async def publish(url: str) -> None:
        connection = await aio_pika.connect(url, timeout=10)
        async with connection:
            channel = await connection.channel()
            message = aio_pika.Message(b"no envelope")
            await channel.default_exchange.publish(message, TASK_QUEUE, timeout=10)

    with rabbitmq_of(platform) as settings:
        asyncio.run(publish(settings.url.get_secret_value()))
    try:
        yield
    finally:
        # As the runbook has it.
        purge = ("rabbitmqctl", "--quiet", "purge_queue", DEAD_QUEUE)
        platform.kubectl("exec", f"{platform.name}-rabbitmq-0", "--", *purge)


@contextmanager
def a_setting_that_ends_workers(platform: Platform, _: Api) -> Iterator[None]:
    env = [{"name": "ORCHESTRATOR_WORKER_STALL_SECONDS", "value": "soon"}]
    with template_of(platform, "worker", {"env": env}):
        yield


@contextmanager
def an_affinity_that_kubernetes_refuses(platform: Platform, _: Api) -> Iterator[None]:
    """And somebody who tries again and again: a refusal by itself is repeated ever more rarely."""
    nodes: dict[str, Any] = {
        "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []}
    }
    tries = count()

    def annotate(value: str) -> None:
        platform.kubectl("annotate", "--overwrite", "orchestrator", platform.name, value)

    with template_of(platform, "api", {"spec": {"affinity": {"nodeAffinity": nodes}}}):
        try:
            with again_and_again(lambda: annotate(f"tried={next(tries)}")):
                yield
        finally:
            annotate("tried-")


@contextmanager
def a_silent_postgres(platform: Platform, api: Api) -> Iterator[None]:
    """Clients ask all the same, also in the moment in which it is back."""
    [pod] = platform.list("pods", component="postgres")
    path = f"/api/v1/users/{api.user_id}/tasks"
    with ExitStack() as stack:
        for _ in range(CLIENTS):
            transport = Tunnel(platform.namespace, f"{platform.name}-api")
            client = httpx.Client(transport=transport, base_url="http://api", timeout=10.0)
            stack.enter_context(client)
            ask = partial(client.get, path, headers=api.headers)
            stack.enter_context(again_and_again(ask))
        stack.enter_context(frozen(platform, pod, "postgres"))
        yield


@contextmanager
def a_silent_broker(platform: Platform, api: Api) -> Iterator[None]:
    """While tasks become due: no sweep can ring for them, and no worker is told."""
    [pod] = platform.list("pods", component="rabbitmq")
    with frozen(platform, pod, "rabbitmq"):
        submit_for_soon(api)
        yield


@contextmanager
def no_operator(_: Platform, __: Api) -> Iterator[None]:
    with operator_outage():
        yield


FAULTS: Mapping[str, Fault] = {
    "mistakes": Fault(
        breaks=(
            a_message_that_is_none_of_ours,
            a_setting_that_ends_workers,
            an_affinity_that_kubernetes_refuses,
        ),
        raises=frozenset(
            {
                "OrchestratorDeadLetters",
                "OrchestratorWorkersFail",
                "OrchestratorReconcileFails",
            }
        ),
    ),
    "silent Postgres": Fault(
        breaks=(a_silent_postgres,),
        raises=frozenset(
            {
                "OrchestratorApiErrors",
                "OrchestratorScalingHeld",
                "OrchestratorStoreDown postgres",
            }
        ),
    ),
    "silent RabbitMQ": Fault(
        breaks=(a_silent_broker,),
        raises=frozenset(
            {
                "OrchestratorNoConsumers",
                "OrchestratorScalingLimited",
                "OrchestratorStoreDown rabbitmq",
                "OrchestratorTasksStuck",
                "OrchestratorTasksWait",
            }
        ),
        leaves=frozenset({"OrchestratorTasksStartLate"}),
    ),
    "no operator": Fault(breaks=(no_operator,), raises=frozenset({"OrchestratorOperatorAbsent"})),
}


# How it breaks


@contextmanager
def template_of(platform: Platform, part: str, template: Mapping[str, Any]) -> Iterator[None]:
    """Give a part's pods a template, which the sample has not."""

    def merge(value: Mapping[str, Any] | None) -> None:
        platform.merge("orchestrator", platform.name, {"spec": {part: {"template": value}}})

    merge(template)
    try:
        yield
    finally:
        merge(None)


def submit_for_soon(api: Api) -> None:
    run_at = datetime.now(UTC) + timedelta(seconds=DUE_SECONDS)
    task = {
        "task_type": "demo_sleep",
        "payload": {"seconds": TASK_SECONDS},
        "run_at": run_at.isoformat(),
    }
    answer = api.http.post(
        "/api/v1/tasks/batch", json={"tasks": [task] * TASKS}, headers=api.headers
    )
    assert answer.status_code == 201, answer.text


@contextmanager
def again_and_again(act: Callable[[], object]) -> Iterator[None]:
    """Act once a second beside the test, whatever comes of it."""
    ended = threading.Event()

    def go() -> None:
        while not ended.wait(1.0):
            with suppress(KubectlError, subprocess.TimeoutExpired, httpx.TransportError):
                act()

    thread = threading.Thread(target=go, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(timeout=60)


# What it happens to


@pytest.fixture(scope="module")
def _watched(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    rules = tmp_path_factory.mktemp("alerts") / "rules.yaml"
    rules.write_text(yaml.safe_dump(hurry(to_rules())), encoding="utf-8")
    before = platform.resource()["spec"]["worker"]["scaling"]
    platform.scale_by(**SCALING)
    try:
        with prometheus(monitors_of(platform), rules=rules, evaluation_seconds=1) as server:
            wait_until(lambda: are_read(server), seconds=60, what="all pods to be read", every=1)
            yield Watched(server, platform)
    finally:
        platform.scale_by(**before)
    platform.await_ready(seconds=READY_SECONDS)


@pytest.fixture
def watched(_watched: Watched) -> Watched:
    """The platform while it is well, and nothing has fired yet."""
    found = Watched(_watched.server, _watched.platform)
    found.platform.await_ready(seconds=READY_SECONDS)
    found.await_end(frozenset(found.told("pending", "firing")))
    return found


def test_every_alert_has_its_fault() -> None:
    told = [name for fault in FAULTS.values() for name in fault.raises | fault.leaves]

    assert {name.partition(" ")[0] for name in told} == SEVERITIES.keys()


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.alone if no_operator in fault.breaks else ())
        for name, fault in FAULTS.items()
    ],
)
def test_alerts_come_with_their_fault_and_go_with_it(watched: Watched, api: Api, name: str) -> None:
    fault = FAULTS[name]

    with ExitStack() as broken:
        for each in fault.breaks:
            broken.enter_context(each(watched.platform, api))
        watched.await_firing(fault.raises)
    watched.await_firing(fault.leaves)

    watched.await_end(fault.raises | fault.leaves)
    wait_until(
        lambda: FINAL.issuperset(api.statuses().values()),
        seconds=ENDS_SECONDS,
        what="every task to end",
    )
