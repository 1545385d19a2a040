"""What clients did and what they were told: the other half of the truth, kept apart from ours.

Append-only, one JSON object a line, written when a call has ended. Whatever the
platform says later is held against it.

Before: ``task_load`` calls the platform.
After: ``invariants`` compares it with what Postgres holds.
"""

import json
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path


class Action(StrEnum):
    """What a client asked for."""

    SUBMIT = "submit"
    RESOLVE = "resolve"
    """A submission again under its key, after an answer that left open what happened."""
    POLL = "poll"
    REFRESH = "refresh"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One call and its answer; a status of None is a connection that ended without one."""

    action: Action
    user_id: int
    began_at: float
    seconds: float
    status: int | None
    key: str | None = None
    task_id: int | None = None
    task_status: str | None = None
    retry_after: str | None = None
    text: str | None = None
    """Of an answer that was no success, or of the error."""

    @property
    def is_accepted(self) -> bool:
        return self.status == 201

    @property
    def is_open(self) -> bool:
        """Whether the answer leaves open what happened."""
        return self.status is None or self.status == 503


class Ledger:
    """All entries of one trial, in the order in which calls ended."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._entries: list[Entry] = []
        self._writing = threading.Lock()

    def write(self, entry: Entry) -> None:
        with self._writing:
            self._entries.append(entry)
            with self.path.open("a", encoding="utf-8") as file:
                file.write(f"{json.dumps(asdict(entry))}\n")

    def __iter__(self) -> Iterator[Entry]:
        with self._writing:
            return iter(list(self._entries))

    def of(self, *actions: Action) -> Iterator[Entry]:
        return (entry for entry in self if entry.action in actions)

    def user_ids(self) -> frozenset[int]:
        return frozenset(entry.user_id for entry in self)

    def acknowledged(self) -> dict[int, str]:
        """Return the key by task of each submission that was accepted when first sent."""
        return {
            entry.task_id: entry.key
            for entry in self.of(Action.SUBMIT)
            if entry.is_accepted and entry.task_id is not None and entry.key is not None
        }

    def known_tasks(self) -> frozenset[int]:
        """Return every task that an answer has named."""
        return frozenset(
            entry.task_id
            for entry in self.of(Action.SUBMIT, Action.RESOLVE)
            if entry.is_accepted and entry.task_id is not None
        )

    def unknown_keys(self) -> frozenset[str]:
        """Return the keys of submissions whose first answer left open what happened."""
        return frozenset(
            entry.key for entry in self.of(Action.SUBMIT) if entry.is_open and entry.key is not None
        )


@dataclass(frozen=True)
class Totals:
    """A trial in the shape of Jepsen's total-queue checker."""

    attempted: int
    acknowledged: int
    """Accepted when first sent."""
    ok: int
    """Acknowledged and brought to an end."""
    lost: int
    """Acknowledged and nowhere to be found."""
    duplicated: int
    """Tasks with more than one verdict, and keys that stand for more than one task."""
    unexpected: int
    """Tasks that nobody has asked for."""
    recovered: int
    """Kept although the answer left it open."""

    def __str__(self) -> str:
        return " / ".join(f"{name} {count}" for name, count in asdict(self).items())
