"""Workers go while there is work, and no task notices.

The default run takes a minute. The whole promise, 200 tasks of 20 to 60 s:
``ORCHESTRATOR_SCALE_IN_TASKS=200 ORCHESTRATOR_SCALE_IN_SECONDS=20-60``.
"""

import json
import os
from collections.abc import Iterator
from random import Random

import pytest

from platform_under_test import Api, Platform, wait_until

TASKS = int(os.environ.get("ORCHESTRATOR_SCALE_IN_TASKS", "120"))
SHORTEST, LONGEST = map(
    float, os.environ.get("ORCHESTRATOR_SCALE_IN_SECONDS", "3-9").split("-", maxsplit=1)
)
"""Of a task."""
MOST = 6
SLOTS = 4
"""Of one worker of the sample."""
STEP_SECONDS = 60.0 + 3 * LONGEST
ALL_SECONDS = 120.0 + TASKS * LONGEST / SLOTS
"""As if one worker had to do it all."""


@pytest.fixture
def elastic(platform: Platform) -> Iterator[Platform]:
    before = platform.resource()["spec"]["worker"]["scaling"]
    yield platform
    platform.scale_by(**before)


@pytest.mark.timeout(4 * STEP_SECONDS + ALL_SECONDS)
def test_six_workers_become_one_twice_and_every_task_runs_once(elastic: Platform, api: Api) -> None:
    chance = Random(7)
    ids = [
        api.submit("demo_sleep", seconds=chance.uniform(SHORTEST, LONGEST)) for _ in range(TASKS)
    ]
    evicted, busy_when_told = [], []
    for _ in range(2):
        elastic.scale_by(min=MOST, max=MOST)
        wait_until(lambda: ready_workers(elastic) == MOST, seconds=STEP_SECONDS, what="six workers")
        wait_until(lambda: len(busy_pods(elastic)) == MOST, seconds=STEP_SECONDS, what="six busy")

        elastic.scale_by(min=1, max=1)
        busy_when_told.append(len(busy_pods(elastic)))
        evicted.append(evict_a_busy_worker(elastic))
        wait_until(
            lambda: elastic.worker_replicas() == 1, seconds=STEP_SECONDS, what="one worker to stay"
        )
    elastic.scale_by(min=MOST, max=MOST)
    api.await_all_completed(ids, seconds=ALL_SECONDS)

    # What was told to go had work to do, or this proves nothing.
    assert busy_when_told == [MOST, MOST]
    assert len(set(evicted)) == 2
    assert kinds_of(elastic, ids) == {("ACCEPTED", "CLAIMED", "COMPLETED"): TASKS}
    assert {api.task(task_id)["attempts"] for task_id in ids} == {1}
    assert "to go when what runs there has finished" in elastic.messages_of("WorkersDraining")


def ready_workers(platform: Platform) -> int:
    status = platform.get("deployment", f"{platform.name}-worker")["status"]
    return int(status.get("readyReplicas", 0))


def busy_pods(platform: Platform) -> list[str]:
    """Return the pods that hold leases, the fullest first."""
    rows = platform.query(
        "SELECT w.pod_name FROM live_tasks l JOIN workers w ON w.worker_id = l.lease_owner"
        " WHERE l.lease_until > now() GROUP BY 1 ORDER BY count(*) DESC, 1"
    )
    return [name for (name,) in rows]


def evict_a_busy_worker(platform: Platform) -> str:
    """Evict as a node's drain would."""
    name = busy_pods(platform)[0]
    path = f"/api/v1/namespaces/{platform.namespace}/pods/{name}/eviction"
    metadata = {"name": name, "namespace": platform.namespace}
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata}
    platform.kubectl("create", "--raw", path, "-f", "-", input_text=json.dumps(body))
    return name


def kinds_of(platform: Platform, ids: list[int]) -> dict[tuple[str, ...], int]:
    """Return how many of the tasks have which history."""
    rows = platform.query(
        "SELECT kinds, count(*) FROM (SELECT string_agg(kind, ' ' ORDER BY seq) AS kinds"  # noqa: S608 - ids are numbers
        f" FROM task_events WHERE task_id IN ({', '.join(map(str, ids))}) GROUP BY task_id)"
        " AS histories GROUP BY 1"
    )
    return {tuple(kinds.split()): int(count) for kinds, count in rows}
