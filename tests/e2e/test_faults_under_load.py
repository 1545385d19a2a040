"""Whatever breaks on a cluster while users work, every accepted task has one end.

The same load, ledger and invariants as for faults of processes in
``tests/integration/faults``; here pods and Services heal by themselves.

Before: the platform is ready, and its API is reached through its Service.
After: each trial leaves a line of figures in the report.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest

from evidence import Witness, until
from faulty_platform import BEGUN, Trial
from invariants import Evidence, count_totals, find_violations
from ledger import Ledger
from orchestrator_core.topology import TASK_QUEUE
from owned_objects import await_order, read_owned
from platform_stores import postgres_of, rabbitmq_of
from platform_under_test import (
    KubectlError,
    Platform,
    Tunnel,
    kill_process_one,
    wait_until,
)
from task_load import USERS, Load, User, a_mixed_task, a_submission

WORKERS = 2
LOAD_SECONDS = 3.0
"""Of load before the fault and, if it heals sooner, in all after it began."""
HEALING_SECONDS = 60.0
CONNECTING_SECONDS = 1.0
"""For a tunnel that broke; an answer is late after five."""
STEADY: Mapping[str, object] = {"mode": "Automatic", "min": WORKERS, "max": WORKERS}
POD_COUNTS = {"api": 2, "worker": WORKERS, "postgres": 1, "redis": 1, "rabbitmq": 1}
"""By component, of the sample."""
SUCCESSES = frozenset({200, 201})


def test_nothing_is_lost(steady: Platform, fault: "Fault", trial: "StartTrial") -> None:
    with trial(fault) as told:
        fault.inject(steady, told)

    assert told.codes() <= fault.codes
    fault.check(told)


# What breaks


def kill_a_worker(platform: Platform, told: Trial) -> None:
    """In the middle of the guest's task."""
    # Longer than it takes a pod to come and kill the worker, on a busy machine too.
    task_id = told.submit(a_submission("demo_sleep", seconds=20))
    query = (
        "SELECT w.pod_name FROM live_tasks l JOIN workers w ON w.worker_id = l.lease_owner"
        " WHERE l.task_id = $1"
    )
    with a_witness(platform) as witness:
        [owner] = until(lambda: witness.rows(query, task_id), what="a worker to claim")
    kill(platform, platform.get("pod", owner["pod_name"]), "worker")


def was_claimed_twice(told: Trial) -> None:
    of_guest = {entry.task_id for entry in told.ledger if entry.user_id == told.guest.id}
    kinds = [
        [e.kind for e in events] for i, events in told.evidence.events.items() if i in of_guest
    ]
    assert kinds == [["ACCEPTED", "CLAIMED", "CLAIMED", "COMPLETED"]]


def restart_workers(platform: Platform, told: Trial) -> None:
    """During long tasks."""
    ids = [told.submit(a_submission("demo_sleep", seconds=10)) for _ in range(4)]
    for task_id in ids:
        until(lambda: told.guest.poll(task_id) == "PROCESSING", what="a worker to claim")  # noqa: B023 - called at once
    before = uids(platform, "worker")
    deployment = f"deployment/{platform.name}-worker"
    platform.kubectl("rollout", "restart", deployment)
    platform.kubectl("rollout", "status", deployment, "--timeout=55s")
    wait_until(
        lambda: before.isdisjoint(uids(platform, "worker")),
        seconds=HEALING_SECONDS,
        what="the old workers to go",
    )


def no_attempt_was_spent(told: Trial) -> None:
    found = {(task.status, task.attempts) for task in told.evidence.tasks.values()}
    assert found == {("COMPLETED", 1)}


def purge_the_queue(platform: Platform, told: Trial) -> None:
    """While the workers have their hands full, so that messages wait."""
    for _ in range(12):
        told.submit(a_submission("demo_sleep", seconds=4))
    with a_witness(platform) as witness:
        until(lambda: witness.depth(TASK_QUEUE) > 10, what="messages to wait")
    purge = ("rabbitmqctl", "--quiet", "purge_queue", TASK_QUEUE)
    platform.kubectl("exec", f"{platform.name}-rabbitmq-0", "--", *purge)


def kill_apis(platform: Platform, _: Trial) -> None:
    """One after the other, so that it hits whomever the Service has sent there."""
    for pod in platform.list("pods", component="api"):
        kill(platform, pod, "api")


def deletion_of(component: str) -> "Inject":
    """Return the fault of a store's pod that is gone at once."""

    def delete(platform: Platform, _: Trial) -> None:
        before = uids(platform, component)
        pod = f"{platform.name}-{component}-0"
        platform.kubectl("delete", "pod", pod, "--grace-period=0", "--force")
        wait_until(
            lambda: uids(platform, component) - before,
            seconds=HEALING_SECONDS,
            what=f"another {component} pod",
        )

    return delete


def kill(platform: Platform, pod: dict[str, Any], container: str) -> None:
    """Kill a container's first process, and wait until the kubelet has noticed."""
    name, before = pod["metadata"]["name"], restarts(pod)
    kill_process_one(platform, pod, container)
    wait_until(
        lambda: restarts(platform.get("pod", name)) > before,
        seconds=HEALING_SECONDS,
        what=f"{name} to be started again",
    )


def restarts(pod: dict[str, Any]) -> int:
    return sum(int(status["restartCount"]) for status in pod["status"]["containerStatuses"])


def uids(platform: Platform, component: str) -> set[str]:
    return {pod["metadata"]["uid"] for pod in platform.list("pods", component=component)}


Inject = Callable[[Platform, Trial], None]


@dataclass(frozen=True)
class Fault:
    """What breaks, and what may come of it beside what must hold always."""

    name: str
    inject: Inject
    codes: frozenset[int | None] = SUCCESSES
    """What users may be told; None is a connection that ended without an answer."""
    make_task: Callable[[Random], Mapping[str, Any]] = a_mixed_task
    check: Callable[[Trial], None] = lambda _: None


def a_sleep(chance: Random) -> Mapping[str, Any]:
    return a_submission("demo_sleep", seconds=round(chance.uniform(0.0, 0.2), 3))


FAULTS = [
    Fault("F-01 worker killed", kill_a_worker, check=was_claimed_twice),
    Fault("F-04 rollout", restart_workers, make_task=a_sleep, check=no_attempt_was_spent),
    Fault("F-10 broker deleted", deletion_of("rabbitmq")),
    Fault("F-17 queue purged", purge_the_queue),
    Fault("F-19 Postgres deleted", deletion_of("postgres"), codes=SUCCESSES | {503}),
    Fault("F-27 Redis deleted", deletion_of("redis")),
    Fault("F-29 APIs killed", kill_apis, codes=SUCCESSES | {503, None}),
]


@pytest.fixture(params=FAULTS, ids=lambda fault: fault.name)
def fault(request: pytest.FixtureRequest) -> Fault:
    found: Fault = request.param
    return found


# What it happens to


@pytest.fixture(scope="module")
def steady(platform: Platform) -> Iterator[Platform]:
    """The platform, with workers that wait for no scaling."""
    before = platform.resource()["spec"]["worker"]["scaling"]
    platform.merge("orchestrator", platform.name, {"spec": {"worker": {"scaling": STEADY}}})
    yield platform
    platform.merge("orchestrator", platform.name, {"spec": {"worker": {"scaling": before}}})


@pytest.fixture(scope="module")
def tunnels(steady: Platform) -> Iterator[Sequence[Tunnel]]:
    """To the API's Service, one for each user and one for the guest."""
    with ExitStack() as closing:
        found = []
        for _ in range(USERS + 1):
            service = f"{steady.name}-api"
            tunnel = Tunnel(steady.namespace, service, patience_seconds=CONNECTING_SECONDS)
            closing.callback(tunnel.close)
            found.append(tunnel)
        yield found


StartTrial = Callable[[Fault], Any]


@pytest.fixture
def trial(
    steady: Platform,
    tunnels: Sequence[Tunnel],
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> StartTrial:
    """Starts a trial, and writes down its figures when it has ended."""

    @contextmanager
    def start(fault: Fault) -> Iterator[Trial]:
        await_whole(steady)
        owned = read_owned(steady)
        told = several_users(tunnels, tmp_path, fault)
        yield from under_load(steady, fault, told)
        resolve_and_read(steady, fault, told)
        record_property("trial", f"{fault.name:<24}{told.totals}")
        assert find_violations(told.ledger, told.evidence) == []
        await_order(steady, owned, seconds=HEALING_SECONDS)
        assert (told.totals.lost, told.totals.duplicated, told.totals.unexpected) == (0, 0, 0)

    return start


def several_users(tunnels: Sequence[Tunnel], folder: Path, fault: Fault) -> Trial:
    """Users who have signed in, each through a tunnel of their own."""
    ledger = Ledger(folder / "ledger.jsonl")
    users = []
    for number, tunnel in enumerate(tunnels):
        chance, prepare = Random(f"{fault.name} {number}"), partial(open_again, tunnel)
        user = User(ledger, ["http://api"], chance, transport=tunnel, prepare=prepare)
        # One after the other: of many who want passwords hashed at once, some are refused.
        user.sign_in()
        users.append(user)
    return Trial(fault.name, ledger, users, users[0])


def open_again(tunnel: Tunnel) -> None:
    """Open it if it broke; on a busy machine that takes seconds, which are not the API's."""
    with suppress(KubectlError):  # then the call itself fails, and is written down
        tunnel.open()
        # A tunnel to a process that just died opens and then swallows what is sent.
        tunnel.open()


def under_load(platform: Platform, fault: Fault, told: Trial) -> Iterator[Trial]:
    """Let users work while the test breaks something, until it has healed."""
    with Load(told.users[1:], fault.make_task).running():
        until(lambda: len(told.ledger.acknowledged()) >= BEGUN, what="the load to be under way")
        began_at = time.monotonic()
        yield told
        await_whole(platform)
        until(lambda: time.monotonic() >= began_at + LOAD_SECONDS, what="more load")


def resolve_and_read(platform: Platform, fault: Fault, told: Trial) -> None:
    """Settle what answers left open; wait for the end of all; read what there is."""
    with a_witness(platform) as witness:
        recovered = witness.count_keys(told.ledger.unknown_keys())
        for user in told.users:
            user.resolve()
        user_ids = [user.id for user in told.users]
        witness.await_end(user_ids)
        found = witness.read(user_ids)
    told.evidence = Evidence(**found, recovered=recovered, is_cut_allowed=None in fault.codes)
    told.totals = count_totals(told.ledger, told.evidence)


@contextmanager
def a_witness(platform: Platform) -> Iterator[Witness]:
    """Looks into the stores through tunnels to their Services."""
    with postgres_of(platform) as postgres, rabbitmq_of(platform) as rabbitmq:
        yield Witness(postgres, rabbitmq)


def await_whole(platform: Platform) -> None:
    """Wait until every pod that should be there is ready."""
    wait_until(
        lambda: count_ready(platform) == POD_COUNTS,
        seconds=HEALING_SECONDS,
        what="all pods to be ready",
        every=0.5,
    )


def count_ready(platform: Platform) -> dict[str, int]:
    counts = dict.fromkeys(POD_COUNTS, 0)
    for pod in platform.list("pods", instance=platform.name):
        component = pod["metadata"]["labels"]["app.kubernetes.io/component"]
        conditions = {each["type"]: each["status"] for each in pod["status"].get("conditions", [])}
        is_ready = conditions.get("Ready") == "True"
        if component in counts and is_ready and "deletionTimestamp" not in pod["metadata"]:
            counts[component] += 1
    return counts
