"""Why a task is as it is: a reason for machines, and a sentence for its owner.

Every state has a reason. The order of the questions is the order in which things stand
in a task's way: its own time first, then its worker, then those before it.

Before: ``explanation_store`` has read the facts.
After: ``explaining`` shows the explanation.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from orchestrator_api.tasks.estimating import Expectation, expect_start
from orchestrator_api.tasks.histories import Attempt, find_death, tell_attempts
from orchestrator_core.explanations import PoolFacts, QueuePlace, Standing, TaskFacts, WorkerTrace
from orchestrator_core.pools import PodEnd, PoolReport
from orchestrator_core.tasks import TaskStatus

BROKER: Final = "rabbitmq"
SILENT_SECONDS: Final = 10.0
"""A worker reports every second."""
AUTOMATIC: Final = "Automatic"


class Reason(StrEnum):
    """What a task waits for, or how it stands; new ones may be added."""

    SCHEDULED = "SCHEDULED"
    """Its ``run_at`` has not come."""
    RETRY_BACKOFF = "RETRY_BACKOFF"
    """An attempt failed; the time for the next one has not come."""
    ABOUT_TO_START = "ABOUT_TO_START"
    """A worker has a free slot for it."""
    BROKER_AWAY = "BROKER_AWAY"
    """A worker has a free slot, and no message can reach it."""
    WAITING_FOR_WORKER = "WAITING_FOR_WORKER"
    """All slots are taken; it stands in line."""
    POOL_AT_CAP = "POOL_AT_CAP"
    """The same, and there may be no more workers."""
    WORKERS_STARTING = "WORKERS_STARTING"
    """Workers, the first or more of them, are on their way."""
    NO_WORKERS = "NO_WORKERS"
    """No worker runs, and none is on its way."""
    RUNNING = "RUNNING"
    """An attempt runs."""
    WORKER_SILENT = "WORKER_SILENT"
    """An attempt holds the task, but its worker has not been heard of for a while."""
    WORKER_LOST = "WORKER_LOST"
    """The attempt's worker is gone; the task is about to be taken again, or to fail."""
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why a task is as it is."""

    reason: Reason
    sentence: str
    """For a person."""
    expectation: Expectation
    attempts: tuple[Attempt, ...]
    facts: TaskFacts


@dataclass(frozen=True, slots=True)
class Verdict:
    """A reason with its sentence."""

    reason: Reason
    sentence: str


def explain(facts: TaskFacts) -> Explanation:
    """Explain a task."""
    attempts = tell_attempts(facts)
    verdict = _judge(facts, attempts)
    return Explanation(
        reason=verdict.reason,
        sentence=verdict.sentence,
        expectation=expect_start(facts, is_waiting=verdict.reason in _IN_LINE),
        attempts=attempts,
        facts=facts,
    )


_IN_LINE = frozenset(
    {
        Reason.ABOUT_TO_START,
        Reason.WAITING_FOR_WORKER,
        Reason.POOL_AT_CAP,
        Reason.WORKERS_STARTING,
    }
)
"""It starts when its turn has come, so a time for that can be told."""


def _judge(facts: TaskFacts, attempts: tuple[Attempt, ...]) -> Verdict:
    standing = facts.standing
    if standing.status.is_final:
        return _judge_final(standing, attempts)
    if standing.lease_until is not None:
        return _judge_leased(facts, attempts)
    if standing.due_at is None:
        raise ValueError(f"task {standing.task_id} is {standing.status} without a live row")
    if not standing.is_due:
        return _judge_early(standing.due_at, attempts)
    if facts.place is None or facts.pool is None:
        raise ValueError(f"task {standing.task_id} waits, but neither place nor pool was read")
    return _judge_waiting(facts, facts.place, facts.pool)


def _judge_final(standing: Standing, attempts: tuple[Attempt, ...]) -> Verdict:
    began = f"{standing.attempts} of {standing.max_attempts} attempts were used"
    match standing.status:
        case TaskStatus.COMPLETED:
            return Verdict(Reason.COMPLETED, f"It has completed; {began}.")
        case TaskStatus.CANCELLED:
            return Verdict(Reason.CANCELLED, f"Its owner cancelled it; {began}.")
        case _:
            said = standing.error_message or "nothing was said"
            told = f"It has failed ({standing.error_code}): {said}; {began}."
            return Verdict(Reason.FAILED, f"{told}{_tell_last_end(attempts)}")


def _tell_last_end(attempts: tuple[Attempt, ...]) -> str:
    if not attempts or attempts[-1].pod_end is None:
        return ""
    return f" {_tell_end(attempts[-1].pod_end)}."


def _tell_end(end: PodEnd) -> str:
    what = f"container {end.container} of pod" if end.container else "pod"
    code = "" if end.exit_code is None else f", exit code {end.exit_code}"
    said = f", {end.message}" if end.message else ""
    return f"The end of {what} {end.pod_name}: {end.reason}{code}{said}"


def _judge_leased(facts: TaskFacts, attempts: tuple[Attempt, ...]) -> Verdict:
    standing = facts.standing
    death = find_death(facts)
    trace = facts.workers.get(standing.lease_owner) if standing.lease_owner else None
    where = f"pod {trace.pod_name}" if trace and trace.pod_name else "a worker"
    number = attempts[-1].number if attempts else standing.attempts
    if not standing.is_leased or death is not None:
        return _judge_lost(standing, where, death)
    silence = _silence_seconds(standing, trace)
    if silence > SILENT_SECONDS:
        return Verdict(
            Reason.WORKER_SILENT,
            f"Attempt {number} is on {where}, which was last heard of {silence:.0f} s ago."
            " If it stays silent, the task is free when its lease ends.",
        )
    progress = "" if standing.progress is None else f", {standing.progress:.0%} done"
    return Verdict(Reason.RUNNING, f"Attempt {number} runs on {where}{progress}.")


def _judge_lost(standing: Standing, where: str, death: PodEnd | None) -> Verdict:
    told = f"{where[0].upper()}{where[1:]}, which ran it, is gone."
    if death is not None:
        told += f" {_tell_end(death)}."
    if standing.attempts >= standing.max_attempts:
        return Verdict(
            Reason.WORKER_LOST, f"{told} No attempt is left: it fails when the lease has ended."
        )
    return Verdict(Reason.WORKER_LOST, f"{told} It is taken again when the lease has ended.")


def _silence_seconds(standing: Standing, trace: WorkerTrace | None) -> float:
    if trace is None or trace.seen_at is None:
        return 0.0
    return (standing.read_at - trace.seen_at).total_seconds()


def _judge_early(due_at: datetime, attempts: tuple[Attempt, ...]) -> Verdict:
    when = f"{due_at:%Y-%m-%d %H:%M:%S} UTC"
    if not attempts:
        return Verdict(Reason.SCHEDULED, f"It may not run before {when}, as was asked for.")
    said = f": {attempts[-1].message}" if attempts[-1].message else ""
    return Verdict(
        Reason.RETRY_BACKOFF,
        f"Attempt {attempts[-1].number} failed{said}. The next one may begin at {when}.",
    )


def _judge_waiting(facts: TaskFacts, place: QueuePlace, pool: PoolFacts) -> Verdict:
    report = facts.report
    if pool.workers == 0:
        return _judge_empty_pool(pool, report)
    stands = _tell_place(place, pool)
    if place.ahead < pool.free_slots:
        if BROKER in facts.unavailable:
            told = "RabbitMQ, which would tell a worker of it, does not answer"
            return Verdict(Reason.BROKER_AWAY, f"{told}; it starts when that is back. {stands}")
        return Verdict(Reason.ABOUT_TO_START, f"A worker is about to take it. {stands}")
    if report is not None and (report.desired_replicas or 0) > pool.workers:
        more = (report.desired_replicas or 0) - pool.workers
        return Verdict(Reason.WORKERS_STARTING, f"{stands} {more} more workers are starting.")
    cap = None if report is None else _find_cap(report)
    if cap is not None:
        return Verdict(Reason.POOL_AT_CAP, f"{stands} {cap}")
    return Verdict(Reason.WAITING_FOR_WORKER, stands)


def _judge_empty_pool(pool: PoolFacts, report: PoolReport | None) -> Verdict:
    if report is None and pool.told_at is None:
        told = "No worker runs, and no operator has told of any"
        return Verdict(Reason.NO_WORKERS, f"{told}; it starts when one does.")
    if report is None:
        told = "No worker runs, and the operator, which starts them, was last heard of at"
        return Verdict(Reason.NO_WORKERS, f"{told} {pool.told_at:%Y-%m-%d %H:%M:%S} UTC.")
    if report.desired_replicas:
        limit = "" if report.limited_message is None else f"; {report.limited_message}"
        told = f"No worker runs yet; {report.desired_replicas} are starting{limit}."
        return Verdict(Reason.WORKERS_STARTING, told)
    if report.held_message is not None:
        told = f"No worker runs, and their number is held: {report.held_message}."
        return Verdict(Reason.NO_WORKERS, told)
    if report.mode == AUTOMATIC and report.max_replicas > 0:
        told = "No worker ran while there was nothing to do; the first is about to be started."
        return Verdict(Reason.WORKERS_STARTING, told)
    told = f"No worker runs, and none is to: the pool is set to {report.max_replicas}"
    return Verdict(Reason.NO_WORKERS, f"{told} (mode {report.mode}).")


def _tell_place(place: QueuePlace, pool: PoolFacts) -> str:
    least = "at least " if place.is_counted_out else ""
    slots = f"{pool.free_slots} of {pool.slots} slots on {pool.workers} workers are free"
    return f"It is number {least}{place.ahead + 1} of {least}{place.waiting} that wait; {slots}."


def _find_cap(report: PoolReport) -> str | None:
    """Say why there are no more workers, if there may not be more."""
    if report.limited_message is not None:
        return f"There may be no more workers: {report.limited_message}."
    if report.held_message is not None:
        return f"The number of workers is held: {report.held_message}."
    if (report.desired_replicas or 0) >= report.max_replicas:
        return f"There may be no more than {report.max_replicas} workers (mode {report.mode})."
    return None
