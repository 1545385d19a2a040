"""Attempts are told from events; the lost ones from what the operator saw."""

from typing import Any

import pytest

from explained_tasks import (
    CLAIMED,
    OTHER_WORKER,
    WORKER,
    a_deleted_pod,
    a_final,
    a_leased,
    a_pod_end,
    a_standing,
    a_trace,
    ago,
    an_event,
    some_facts,
)
from orchestrator_api.tasks.histories import Attempt, AttemptEnd, pick_end, tell_attempts
from orchestrator_core.explanations import HistoryEvent, Standing
from orchestrator_core.pools import PodEnd
from orchestrator_core.tasks import TaskStatus

ACCEPTED = an_event("ACCEPTED", seconds_ago=50, epoch=0, actor="api")
CANCELLED = an_event("CANCELLED", seconds_ago=5, actor="api", reason="its owner asked for it")
CLAIMED_AGAIN = an_event("CLAIMED", seconds_ago=3, epoch=2, actor=str(OTHER_WORKER))


def tell(standing: Standing, *events: HistoryEvent, **values: Any) -> tuple[Attempt, ...]:
    return tell_attempts(some_facts(standing, events=(ACCEPTED, *events), **values))


def test_a_task_that_was_never_claimed_has_no_attempts() -> None:
    assert tell(a_standing()) == ()


def test_an_attempt_under_a_lease_runs() -> None:
    [attempt] = tell(a_leased(), CLAIMED)

    assert (attempt.number, attempt.end, attempt.ended_at) == (1, AttemptEnd.RUNNING, None)
    assert (attempt.started_at, attempt.pod_name) == (ago(40), "demo-worker-1")


@pytest.mark.parametrize("kind", ["COMPLETED", "RETRY", "FAILED", "HANDED_BACK", "CANCELLED"])
def test_an_attempt_ends_as_its_event_says(kind: str) -> None:
    [attempt] = tell(
        a_final(TaskStatus.FAILED), CLAIMED, an_event(kind, seconds_ago=5, reason="said")
    )

    assert (attempt.end, attempt.ended_at, attempt.message) == (AttemptEnd(kind), ago(5), "said")


def test_a_claim_after_a_claim_means_that_the_first_was_lost() -> None:
    workers = {WORKER: a_trace(seen_at=ago(20)), OTHER_WORKER: a_trace()}

    lost, running = tell(
        a_leased(lease_owner=OTHER_WORKER), CLAIMED, CLAIMED_AGAIN, workers=workers
    )

    assert (lost.end, lost.ended_at, lost.pod_end) == (AttemptEnd.WORKER_LOST, ago(20), None)
    assert (running.number, running.end) == (2, AttemptEnd.RUNNING)


def test_a_lost_attempt_whose_worker_is_forgotten_ended_before_the_next_event() -> None:
    lost, _ = tell(a_leased(), CLAIMED, CLAIMED_AGAIN, workers={})

    assert (lost.pod_name, lost.ended_at) == (None, CLAIMED_AGAIN.at)


def test_a_lease_that_the_sweep_has_ended_leaves_a_lost_attempt() -> None:
    standing = a_standing(status=TaskStatus.PROCESSING, attempts=1)

    [attempt] = tell(standing, CLAIMED, workers={WORKER: a_trace(seen_at=ago(35))})

    assert (attempt.end, attempt.ended_at) == (AttemptEnd.WORKER_LOST, ago(35))


def test_an_attempt_under_a_lease_whose_container_has_ended_is_lost() -> None:
    [attempt] = tell(a_leased(), CLAIMED, workers={WORKER: a_trace(a_pod_end())})

    assert (attempt.end, attempt.ended_at) == (AttemptEnd.WORKER_LOST, ago(10))
    assert attempt.pod_end == a_pod_end()


def test_the_kubelets_whole_seconds_never_end_an_attempt_before_it_began() -> None:
    workers = {WORKER: a_trace(a_pod_end(ended_at=ago(41)))}

    [attempt] = tell(a_leased(), CLAIMED, workers=workers)

    assert attempt.ended_at == attempt.started_at


def test_a_pods_end_says_nothing_of_an_attempt_that_its_worker_has_settled() -> None:
    workers = {WORKER: a_trace(a_pod_end())}

    [attempt] = tell(
        a_final(TaskStatus.COMPLETED),
        CLAIMED,
        an_event("COMPLETED", seconds_ago=5),
        workers=workers,
    )

    assert attempt.pod_end is None


def test_a_pods_end_says_why_an_attempt_was_handed_back() -> None:
    workers = {WORKER: a_trace(a_deleted_pod("EvictionByEvictionAPI"))}

    [attempt] = tell(a_standing(), CLAIMED, an_event("HANDED_BACK", seconds_ago=5), workers=workers)

    assert attempt.pod_end == a_deleted_pod("EvictionByEvictionAPI")


def test_the_last_attempt_of_a_task_that_failed_with_its_worker_was_lost() -> None:
    lost = an_event("WORKER_LOST", seconds_ago=2, actor="api", reason="lease ran out")

    [attempt] = tell(
        a_final(TaskStatus.FAILED), CLAIMED, lost, workers={WORKER: a_trace(a_pod_end())}
    )

    assert (attempt.end, attempt.message) == (AttemptEnd.WORKER_LOST, "lease ran out")
    assert (attempt.ended_at, attempt.pod_end) == (ago(10), a_pod_end())


def test_an_attempt_whose_worker_had_ended_before_its_task_was_cancelled_was_lost() -> None:
    workers = {WORKER: a_trace(a_pod_end())}

    [attempt] = tell(a_final(TaskStatus.CANCELLED), CLAIMED, CANCELLED, workers=workers)

    assert (attempt.end, attempt.message) == (AttemptEnd.WORKER_LOST, None)
    assert (attempt.ended_at, attempt.pod_end) == (ago(10), a_pod_end())


@pytest.mark.parametrize(
    "end",
    [
        pytest.param(a_pod_end(ended_at=ago(4)), id="ended-later"),
        pytest.param(a_pod_end(ended_at=ago(5.5)), id="maybe-later-in-the-kubelets-second"),
        pytest.param(a_deleted_pod(), id="was-asked-to-end"),
    ],
)
def test_an_attempt_that_may_have_run_when_its_task_was_cancelled_was_cancelled(
    end: PodEnd,
) -> None:
    workers = {WORKER: a_trace(end)}

    [attempt] = tell(a_final(TaskStatus.CANCELLED), CLAIMED, CANCELLED, workers=workers)

    assert (attempt.end, attempt.ended_at) == (AttemptEnd.CANCELLED, CANCELLED.at)
    assert attempt.pod_end is None


def test_of_several_ends_memory_says_most_then_the_pod_then_an_exit_code() -> None:
    killed, deleted, exited = a_pod_end(), a_deleted_pod(), a_pod_end("Error", exit_code=1)

    assert pick_end([exited, deleted, killed]) == killed
    assert pick_end([exited, deleted]) == deleted
    assert pick_end([exited]) == exited
    assert pick_end([]) is None
