"""What must hold whatever broke: one function for each, which names what doesn't.

The tenth row of the list that these are from is about answers, the eleventh about
limits; the others are about what Postgres and RabbitMQ hold when all has come to an end.

Before: ``ledger`` tells what clients saw; ``evidence`` has read what the platform holds.
After: a test fails with every violation, in words.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

from ledger import Action, Entry, Ledger, Totals

FINAL = frozenset({"COMPLETED", "FAILED", "CANCELLED"})
RANKS = {"PENDING": 0, "PROCESSING": 1, **dict.fromkeys(FINAL, 2)}
EXPECTED_CODES = frozenset({200, 201, 429, 503})
MAX_ANSWER_SECONDS = 5.0
MAX_HANDBACKS = 20


@dataclass(frozen=True)
class TaskRow:
    """A task as its row has it."""

    id: int
    status: str
    epoch: int
    attempts: int
    max_attempts: int
    last_event: int
    error_code: str | None


@dataclass(frozen=True)
class EventRow:
    """One line of a task's history."""

    task_id: int
    seq: int
    epoch: int
    status: str
    kind: str


@dataclass(frozen=True)
class RateBound:
    """A user's admissions in any t seconds: at most ``burst`` + ``per_second`` * t."""

    burst: int
    per_second: float


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What the platform holds of one trial, after all has come to an end."""

    tasks: Mapping[int, TaskRow]
    events: Mapping[int, Sequence[EventRow]]
    """By task, in their order."""
    results: Sequence[tuple[int, int]]
    """Task and epoch."""
    leases: Sequence[int]
    live: Sequence[int]
    keys: Mapping[str, Sequence[int]]
    """The tasks that each idempotency key stands for."""
    changed_events: int
    idle_transactions: int
    ready_messages: int
    dead_messages: int
    recovered: int = 0
    """Tasks found under the keys of open answers before anybody asked again."""
    is_cut_allowed: bool = False
    """Whether the fault ends clients' connections."""
    rate_bound: RateBound | None = None

    def last_kind(self, task_id: int) -> str:
        return self.events[task_id][-1].kind


Check = Callable[[Ledger, Evidence], Iterator[str]]


def no_accepted_task_is_lost(ledger: Ledger, evidence: Evidence) -> Iterator[str]:
    for task_id in sorted(ledger.known_tasks() - evidence.tasks.keys()):
        yield f"task {task_id} was accepted and is gone"


def no_task_is_a_ghost(ledger: Ledger, evidence: Evidence) -> Iterator[str]:
    for task_id in sorted(evidence.tasks.keys() - ledger.known_tasks()):
        yield f"nobody was told of task {task_id}"
    told = defaultdict(set)
    for entry in ledger.of(Action.SUBMIT, Action.RESOLVE):
        if entry.is_accepted and entry.key is not None:
            told[entry.key].add(entry.task_id)
    for key, task_ids in told.items():
        if task_ids != set(evidence.keys.get(key, ())):
            yield f"key {key} stands for {evidence.keys.get(key)}, clients were told {task_ids}"
    for key in ledger.unknown_keys() - told.keys():
        yield f"it is still open what became of key {key}"


def every_task_has_one_verdict(_: Ledger, evidence: Evidence) -> Iterator[str]:
    for task_id, task in evidence.tasks.items():
        verdicts = _verdicts(evidence, task_id)
        if task.status not in FINAL or [event.status for event in verdicts] != [task.status]:
            yield f"{task} has the verdicts {verdicts}"
        elif (task.status == "FAILED") != (task.error_code is not None):
            yield f"{task} fails without a code, or has one without failing"
    for task_id in evidence.live:
        yield f"task {task_id} is still live"


def every_result_is_of_the_attempt_that_ended_its_task(
    _: Ledger, evidence: Evidence
) -> Iterator[str]:
    of_task = defaultdict(list)
    for task_id, epoch in evidence.results:
        of_task[task_id].append(epoch)
    for task_id, task in evidence.tasks.items():
        epochs = [event.epoch for event in _verdicts(evidence, task_id)]
        expected = epochs if task.status == "COMPLETED" else []
        if of_task[task_id] != expected:
            yield f"{task} has results of the epochs {of_task[task_id]}, expected {expected}"


def no_lease_is_left(_: Ledger, evidence: Evidence) -> Iterator[str]:
    # Two at once can't be: a task has one live row, and that has one token.
    for task_id in evidence.leases:
        yield f"task {task_id} is leased after the end"


def attempts_are_bounded_and_told(_: Ledger, evidence: Evidence) -> Iterator[str]:
    for task_id, task in evidence.tasks.items():
        kinds = Counter(event.kind for event in evidence.events[task_id])
        claims = [event.epoch for event in evidence.events[task_id] if event.kind == "CLAIMED"]
        if task.attempts > task.max_attempts:
            yield f"{task} has more attempts than it may"
        if kinds["HANDED_BACK"] > MAX_HANDBACKS + task.max_attempts:
            yield f"{task} was handed back {kinds['HANDED_BACK']} times"
        if claims != list(range(1, task.epoch + 1)):
            yield f"{task} was claimed in the epochs {claims}"


def nothing_goes_back(ledger: Ledger, evidence: Evidence) -> Iterator[str]:
    for task_id, events in evidence.events.items():
        steps = [(event.epoch, RANKS[event.status]) for event in events]
        if any(after < before for before, after in pairwise(steps)):
            yield f"task {task_id} went back: {steps}"
    seen: dict[int, list[str]] = defaultdict(list)
    for entry in ledger.of(Action.POLL):
        if entry.task_id is not None and entry.task_status is not None:
            seen[entry.task_id].append(entry.task_status)
    for task_id, statuses in seen.items():
        if any(RANKS[after] < RANKS[before] for before, after in pairwise(statuses)):
            yield f"clients saw task {task_id} go back: {statuses}"


def the_history_is_whole_and_only_grew(_: Ledger, evidence: Evidence) -> Iterator[str]:
    for task_id, task in evidence.tasks.items():
        seqs = [event.seq for event in evidence.events[task_id]]
        if seqs != list(range(1, task.last_event + 1)):
            yield f"{task} has the events {seqs}"
    if evidence.changed_events:
        yield f"{evidence.changed_events} events were changed or deleted"


def nothing_is_left_over(_: Ledger, evidence: Evidence) -> Iterator[str]:
    for name in ("idle_transactions", "ready_messages", "dead_messages"):
        if getattr(evidence, name):
            yield f"{name}: {getattr(evidence, name)}"


def every_answer_is_one_to_act_on(ledger: Ledger, evidence: Evidence) -> Iterator[str]:
    for entry in ledger:
        if entry.seconds > MAX_ANSWER_SECONDS:
            yield f"late: {entry}"
        elif entry.status is None:
            if not evidence.is_cut_allowed:
                yield f"no answer: {entry}"
        elif entry.status not in EXPECTED_CODES:
            yield f"unexpected: {entry}"
        elif entry.status in (429, 503) and not int(entry.retry_after or 0):
            yield f"does not say when to come back: {entry}"


def no_user_has_more_than_the_limit_lets(ledger: Ledger, evidence: Evidence) -> Iterator[str]:
    bound = evidence.rate_bound
    if bound is None:
        return
    admitted: dict[int, list[Entry]] = defaultdict(list)
    for entry in ledger.of(Action.SUBMIT, Action.POLL, Action.RESOLVE):
        if entry.status in (200, 201):
            admitted[entry.user_id].append(entry)
    for user_id, entries in admitted.items():
        entries.sort(key=lambda entry: entry.began_at)
        for (i, first), (j, last) in combinations(enumerate(entries), 2):
            count, seconds = j - i + 1, last.began_at + last.seconds - first.began_at
            if count > bound.burst + bound.per_second * seconds + 1:
                yield f"user {user_id} was let in {count} times in {seconds:.2f} s"


INVARIANTS: Mapping[str, Check] = {
    "I1": no_accepted_task_is_lost,
    "I2": no_task_is_a_ghost,
    "I3": every_task_has_one_verdict,
    "I4": every_result_is_of_the_attempt_that_ended_its_task,
    "I5": no_lease_is_left,
    "I6": attempts_are_bounded_and_told,
    "I7": nothing_goes_back,
    "I8": the_history_is_whole_and_only_grew,
    "I9": nothing_is_left_over,
    "I10": every_answer_is_one_to_act_on,
    "I11": no_user_has_more_than_the_limit_lets,
}


def find_violations(ledger: Ledger, evidence: Evidence) -> list[str]:
    return [
        f"{name} {check.__name__}: {violation}"
        for name, check in INVARIANTS.items()
        for violation in check(ledger, evidence)
    ]


def count_totals(ledger: Ledger, evidence: Evidence) -> Totals:
    acknowledged = ledger.acknowledged()
    ended = [task for task in evidence.tasks.values() if task.status in FINAL]
    return Totals(
        attempted=sum(1 for _ in ledger.of(Action.SUBMIT)),
        acknowledged=len(acknowledged),
        ok=sum(task.id in acknowledged for task in ended),
        lost=len(acknowledged.keys() - evidence.tasks.keys()),
        duplicated=sum(len(_verdicts(evidence, task_id)) > 1 for task_id in evidence.tasks)
        + sum(len(task_ids) > 1 for task_ids in evidence.keys.values()),
        unexpected=len(evidence.tasks.keys() - ledger.known_tasks()),
        recovered=evidence.recovered,
    )


def _verdicts(evidence: Evidence, task_id: int) -> list[EventRow]:
    return [event for event in evidence.events[task_id] if event.status in FINAL]
