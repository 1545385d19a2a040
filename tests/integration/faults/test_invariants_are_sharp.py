"""Each invariant finds what breaks it, and nothing in what is well."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from invariants import EventRow, Evidence, RateBound, TaskRow, count_totals, find_violations
from ledger import Action, Entry, Ledger

ALICE = 7


def an_entry(action: Action = Action.SUBMIT, **fields: Any) -> Entry:
    given = {"user_id": ALICE, "began_at": 1.0, "seconds": 0.1, "status": 201, **fields}
    return Entry(action=action, **given)


def a_ledger(folder: Path, *entries: Entry) -> Ledger:
    """One task that was accepted and polled, and what else is given."""
    ledger = Ledger(folder / "ledger.jsonl")
    accepted = an_entry(key="a", task_id=1, task_status="PENDING")
    polled = [
        an_entry(Action.POLL, status=200, task_id=1, task_status=status)
        for status in ("PENDING", "PROCESSING", "COMPLETED")
    ]
    for entry in (accepted, *polled, *entries):
        ledger.write(entry)
    return ledger


def a_history(*kinds: str, epoch: int = 1) -> list[EventRow]:
    statuses = {"ACCEPTED": "PENDING", "CLAIMED": "PROCESSING", "RETRY": "PROCESSING"}
    return [
        EventRow(1, seq, 0 if kind == "ACCEPTED" else epoch, statuses.get(kind, kind), kind)
        for seq, kind in enumerate(kinds, 1)
    ]


def evidence_of(
    *, history: Sequence[EventRow] | None = None, task: TaskRow | None = None, **fields: Any
) -> Evidence:
    """Return a task that was completed at once, but for what is given."""
    given = {
        "tasks": {1: task or TaskRow(1, "COMPLETED", 1, 1, 3, 3, None)},
        "events": {1: history or a_history("ACCEPTED", "CLAIMED", "COMPLETED")},
        "results": [(1, 1)],
        "leases": [],
        "live": [],
        "keys": {"a": [1]},
        "changed_events": 0,
        "idle_transactions": 0,
        "ready_messages": 0,
        "dead_messages": 0,
        **fields,
    }
    return Evidence(**given)


def broken(ledger: Ledger, evidence: Evidence) -> set[str]:
    return {violation.partition(" ")[0] for violation in find_violations(ledger, evidence)}


def test_what_is_well_breaks_none(tmp_path: Path) -> None:
    ledger, evidence = a_ledger(tmp_path), evidence_of()

    assert find_violations(ledger, evidence) == []
    assert str(count_totals(ledger, evidence)) == (
        "attempted 1 / acknowledged 1 / ok 1 / lost 0 / duplicated 0 / unexpected 0 / recovered 0"
    )


A_TASK = TaskRow(1, "COMPLETED", 1, 1, 3, 3, None)
TWICE = a_history("ACCEPTED", "CLAIMED", "COMPLETED", "COMPLETED")


@pytest.mark.parametrize(
    ("name", "evidence"),
    [
        ("I1", evidence_of(tasks={}, events={}, results=[])),
        ("I2", evidence_of(keys={"a": [1, 2]})),
        ("I3", evidence_of(history=TWICE, task=replace(A_TASK, last_event=4))),
        ("I3", evidence_of(task=replace(A_TASK, status="PROCESSING"))),
        ("I3", evidence_of(task=replace(A_TASK, error_code="TIMEOUT"))),
        ("I3", evidence_of(live=[1])),
        ("I4", evidence_of(results=[(1, 1), (1, 2)])),
        ("I4", evidence_of(results=[(1, 2)])),
        ("I4", evidence_of(results=[])),
        ("I5", evidence_of(leases=[1])),
        ("I6", evidence_of(task=replace(A_TASK, attempts=4))),
        ("I6", evidence_of(task=replace(A_TASK, epoch=2))),
        ("I7", evidence_of(history=a_history("ACCEPTED", "CLAIMED", "COMPLETED", "RETRY"))),
        ("I8", evidence_of(history=a_history("ACCEPTED", "CLAIMED", "COMPLETED")[1:])),
        ("I8", evidence_of(changed_events=1)),
        ("I9", evidence_of(ready_messages=1)),
        ("I9", evidence_of(dead_messages=1)),
        ("I9", evidence_of(idle_transactions=1)),
    ],
)
def test_what_the_stores_hold_breaks_its_invariant(
    tmp_path: Path, name: str, evidence: Evidence
) -> None:
    assert name in broken(a_ledger(tmp_path), evidence)


@pytest.mark.parametrize(
    ("name", "entry"),
    [
        ("I1", an_entry(key="b", task_id=2)),
        ("I2", an_entry(key="b", status=503, retry_after="1")),
        ("I7", an_entry(Action.POLL, status=200, task_id=1, task_status="PENDING")),
        ("I10", an_entry(Action.POLL, status=500)),
        ("I10", an_entry(Action.POLL, status=503)),
        ("I10", an_entry(Action.POLL, status=None)),
        ("I10", an_entry(Action.POLL, status=200, seconds=5.1)),
    ],
)
def test_what_clients_saw_breaks_its_invariant(tmp_path: Path, name: str, entry: Entry) -> None:
    assert name in broken(a_ledger(tmp_path, entry), evidence_of())


def test_a_task_that_nobody_was_told_of_is_a_ghost(tmp_path: Path) -> None:
    ghost = replace(A_TASK, id=2)
    evidence = evidence_of(
        tasks={1: A_TASK, 2: ghost},
        events=dict.fromkeys((1, 2), a_history("ACCEPTED", "CLAIMED", "COMPLETED")),
        results=[(1, 1), (2, 1)],
    )
    ledger = a_ledger(tmp_path)

    assert broken(ledger, evidence) == {"I2"}
    assert count_totals(ledger, evidence).unexpected == 1


def test_more_admissions_than_the_limit_lets_are_found(tmp_path: Path) -> None:
    polls = [an_entry(Action.POLL, status=200, began_at=1.0 + n / 100) for n in range(20)]
    ledger = a_ledger(tmp_path, *polls)

    assert broken(ledger, evidence_of(rate_bound=RateBound(burst=10, per_second=10))) == {"I11"}
    assert broken(ledger, evidence_of(rate_bound=RateBound(burst=30, per_second=10))) == set()
