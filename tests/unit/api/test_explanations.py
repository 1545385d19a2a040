"""Every state of a task has a reason, and every reason a sentence that says something."""

import itertools
import re
from datetime import timedelta

import pytest

from explained_tasks import (
    CLAIMED,
    NOW,
    WORKER,
    a_deleted_pod,
    a_final,
    a_leased,
    a_place,
    a_pod_end,
    a_pool,
    a_report,
    a_standing,
    a_trace,
    ago,
    an_event,
    in_seconds,
    no_pool,
    some_facts,
)
from orchestrator_api.tasks.explanations import Reason, explain
from orchestrator_core.explanations import STALE_SECONDS, TaskFacts
from orchestrator_core.tasks import TaskStatus

LATER = a_standing(due_at=in_seconds(3600))
RETRIED = a_standing(status=TaskStatus.PROCESSING, attempts=1, due_at=in_seconds(3))
FAILED_ONCE = (CLAIMED, an_event("RETRY", seconds_ago=9, reason="no such host"))
STALE = ago(STALE_SECONDS + 1)

CASES: dict[str, tuple[TaskFacts, Reason, str]] = {
    "run_at lies ahead": (some_facts(LATER), Reason.SCHEDULED, "2026-01-01 13:00:00 UTC"),
    "a retry waits for its time": (
        some_facts(RETRIED, events=FAILED_ONCE),
        Reason.RETRY_BACKOFF,
        "Attempt 1 failed: no such host. The next one may begin at 2026-01-01 12:00:03 UTC",
    ),
    "a slot is free": (
        some_facts(place=a_place(2), pool=a_pool(busy_slots=5)),
        Reason.ABOUT_TO_START,
        "A worker is about to take it. It is number 3 of 7 that wait; 3 of 8 slots on 2 workers",
    ),
    "a slot is free and Redis is away": (
        some_facts(place=a_place(), pool=a_pool(busy_slots=5), unavailable=frozenset({"redis"})),
        Reason.ABOUT_TO_START,
        "about to take it",
    ),
    "a slot is free and RabbitMQ is away": (
        some_facts(place=a_place(), pool=a_pool(busy_slots=5), unavailable=frozenset({"rabbitmq"})),
        Reason.BROKER_AWAY,
        "RabbitMQ, which would tell a worker of it, does not answer",
    ),
    "fewer slots are free than wait before it": (
        some_facts(place=a_place(3), pool=a_pool(busy_slots=5)),
        Reason.WAITING_FOR_WORKER,
        "It is number 4 of 8 that wait; 3 of 8 slots on 2 workers are free",
    ),
    "more wait than were counted": (
        some_facts(place=a_place(10_000, is_counted_out=True)),
        Reason.WAITING_FOR_WORKER,
        "number at least 10001 of at least 10005",
    ),
    "nobody tells of the pool": (
        some_facts(pool=a_pool(told_at=None)),
        Reason.WAITING_FOR_WORKER,
        "It is number 3",
    ),
    "more workers are wanted than there are": (
        some_facts(pool=a_pool(a_report(desired_replicas=5))),
        Reason.WORKERS_STARTING,
        "3 more workers are starting",
    ),
    "more were wanted long ago": (
        some_facts(pool=a_pool(a_report(desired_replicas=5), told_at=STALE)),
        Reason.WAITING_FOR_WORKER,
        "It is number 3",
    ),
    "the pool is at its maximum": (
        some_facts(pool=a_pool(a_report(max_replicas=2))),
        Reason.POOL_AT_CAP,
        "There may be no more than 2 workers (mode Automatic)",
    ),
    "a person fixed the number": (
        some_facts(pool=a_pool(a_report(mode="Fixed", max_replicas=2))),
        Reason.POOL_AT_CAP,
        "no more than 2 workers (mode Fixed)",
    ),
    "Postgres has no more connections": (
        some_facts(pool=a_pool(a_report(limited_message="Postgres has connections for 2"))),
        Reason.POOL_AT_CAP,
        "There may be no more workers: Postgres has connections for 2",
    ),
    "the number is held": (
        some_facts(pool=a_pool(a_report(held_message="the load can't be read"))),
        Reason.POOL_AT_CAP,
        "The number of workers is held: the load can't be read",
    ),
    "the pool wakes": (
        some_facts(pool=no_pool()),
        Reason.WORKERS_STARTING,
        "the first is about to be started",
    ),
    "the first workers start": (
        some_facts(pool=no_pool(a_report(desired_replicas=3))),
        Reason.WORKERS_STARTING,
        "No worker runs yet; 3 are starting",
    ),
    "the first workers crash": (
        some_facts(pool=no_pool(a_report(desired_replicas=3, limited_message="they crash"))),
        Reason.WORKERS_STARTING,
        "No worker runs yet; 3 are starting; they crash.",
    ),
    "there is no operator": (
        some_facts(pool=no_pool(told_at=None)),
        Reason.NO_WORKERS,
        "no operator has told of any",
    ),
    "the operator is silent": (
        some_facts(pool=no_pool(told_at=STALE)),
        Reason.NO_WORKERS,
        "was last heard of at 2026-01-01 11:56:59 UTC",
    ),
    "none is wanted": (
        some_facts(pool=no_pool(a_report(mode="Fixed", desired_replicas=0, max_replicas=0))),
        Reason.NO_WORKERS,
        "the pool is set to 0 (mode Fixed)",
    ),
    "the maximum is none": (
        some_facts(pool=no_pool(a_report(desired_replicas=0, max_replicas=0))),
        Reason.NO_WORKERS,
        "the pool is set to 0 (mode Automatic)",
    ),
    "the number is held at none": (
        some_facts(pool=no_pool(a_report(desired_replicas=0, held_message="two databases"))),
        Reason.NO_WORKERS,
        "their number is held: two databases",
    ),
    "an attempt runs": (
        some_facts(a_leased(progress=0.4), events=(CLAIMED,)),
        Reason.RUNNING,
        "Attempt 1 runs on pod demo-worker-1, 40% done.",
    ),
    "an attempt runs on a pod that is to go": (
        some_facts(a_leased(), events=(CLAIMED,), workers={WORKER: a_trace(a_deleted_pod())}),
        Reason.RUNNING,
        "Attempt 1 runs on pod demo-worker-1.",
    ),
    "an attempt runs on a worker that has never reported": (
        some_facts(a_leased(), events=(CLAIMED,), workers={}),
        Reason.RUNNING,
        "Attempt 1 runs on a worker.",
    ),
    "the worker is silent": (
        some_facts(a_leased(), events=(CLAIMED,), workers={WORKER: a_trace(seen_at=ago(15))}),
        Reason.WORKER_SILENT,
        "which was last heard of 15 s ago",
    ),
    "the lease is over": (
        some_facts(a_leased(lease_until=ago(1)), events=(CLAIMED,)),
        Reason.WORKER_LOST,
        "Pod demo-worker-1, which ran it, is gone. It is taken again",
    ),
    "the lease of the last attempt is over": (
        some_facts(a_leased(lease_until=ago(1), attempts=3), events=(CLAIMED,)),
        Reason.WORKER_LOST,
        "No attempt is left: it fails",
    ),
    "the container was killed and the lease goes on": (
        some_facts(a_leased(), events=(CLAIMED,), workers={WORKER: a_trace(a_pod_end())}),
        Reason.WORKER_LOST,
        "The end of container worker of pod demo-worker-1: OOMKilled, exit code 137.",
    ),
    "it has completed": (
        some_facts(a_final(TaskStatus.COMPLETED)),
        Reason.COMPLETED,
        "1 of 3 attempts were used",
    ),
    "it was cancelled": (
        some_facts(a_final(TaskStatus.CANCELLED, error_code="CANCELLED")),
        Reason.CANCELLED,
        "Its owner cancelled it",
    ),
    "it has failed": (
        some_facts(a_final(TaskStatus.FAILED, error_code="TIMEOUT", error_message="over 60 s")),
        Reason.FAILED,
        "It has failed (TIMEOUT): over 60 s; 1 of 3",
    ),
    "it has failed and nobody said why": (
        some_facts(a_final(TaskStatus.FAILED, error_code="HANDLER_ERROR")),
        Reason.FAILED,
        "(HANDLER_ERROR): nothing was said",
    ),
    "it has failed with its pod": (
        some_facts(
            a_final(TaskStatus.FAILED, error_code="WORKER_LOST", error_message="lost"),
            events=(CLAIMED, an_event("WORKER_LOST", seconds_ago=5, actor="api")),
            workers={WORKER: a_trace(a_deleted_pod("Evicted", message="low on memory"))},
        ),
        Reason.FAILED,
        "The end of pod demo-worker-1: Evicted, low on memory.",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_task_is_explained_by_what_stands_in_its_way(name: str) -> None:
    facts, reason, told = CASES[name]

    explanation = explain(facts)

    assert explanation.reason is reason
    assert told in explanation.sentence


def test_every_reason_has_a_case() -> None:
    assert {reason for _, reason, _ in CASES.values()} == set(Reason)


def test_no_reason_and_no_sentence_says_unknown_or_none() -> None:
    told = [
        f"{each.reason}: {each.sentence} {each.expectation.sentence}"
        for each in (explain(facts) for facts, _, _ in CASES.values())
    ]

    assert [text for text in told if re.search(r"(?i:unknown)|\bNone\b", text)] == []
    assert [text for text in told if not text.endswith(".")] == []


def test_whatever_the_pool_and_the_task_every_combination_has_a_reason() -> None:
    standings = [
        a_standing(),
        LATER,
        RETRIED,
        a_leased(),
        a_leased(lease_until=ago(1)),
        *(a_final(status, error_code="X") for status in TaskStatus if status.is_final),
    ]
    pools = [
        (no_pool if is_empty else a_pool)(
            a_report(mode=mode, desired_replicas=desired, max_replicas=cap, held_message=held),
            told_at=told_at,
            mean_run_seconds=mean,
        )
        for is_empty, mode, desired, cap, held, told_at, mean in itertools.product(
            (True, False),
            ("Automatic", "Fixed", "External"),
            (None, 0, 2, 5),
            (0, 10),
            (None, "held"),
            (None, NOW, STALE),
            (None, 2.0),
        )
    ]
    traces = [{}, {WORKER: a_trace()}, {WORKER: a_trace(a_pod_end())}]

    for standing, pool, workers in itertools.product(standings, pools, traces):
        facts = some_facts(standing, events=(CLAIMED,), workers=workers)
        if facts.pool is not None:
            facts = some_facts(standing, events=(CLAIMED,), workers=workers, pool=pool)
        explanation = explain(facts)
        assert explanation.reason in Reason
        start_at = explanation.expectation.start_at
        assert start_at is None or NOW <= start_at <= NOW + timedelta(days=1)


def test_a_task_without_a_live_row_that_is_not_final_is_refused_rather_than_explained() -> None:
    with pytest.raises(ValueError, match="without a live row"):
        explain(some_facts(a_standing(due_at=None)))
