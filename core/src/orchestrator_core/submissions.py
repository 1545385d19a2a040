"""A submission: tasks that are kept together or not at all, perhaps under the client's own name.

Before: the API makes a ``Submission`` of a request.
After: ``postgres.submission_store`` keeps it and says how it went: a ``Verdict``.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator_core.tasks import NewTask, TaskId, UserId


@dataclass(frozen=True, slots=True, kw_only=True)
class IdempotencyKey:
    """What a client calls a submission, so that sending it again changes nothing."""

    user_id: UserId
    key: str
    """1 to 255 characters; unique per user for 24 hours."""
    fingerprint: bytes
    """SHA-256 of what was asked for: the same key with another one is a mistake."""


@dataclass(frozen=True, slots=True)
class Submission:
    """What one request asks to be kept."""

    tasks: Sequence[NewTask]
    key: IdempotencyKey | None = None


@dataclass(frozen=True, slots=True)
class Kept:
    """Committed just now."""

    task_ids: Sequence[TaskId]
    """In the order of the submission's tasks."""
    due_ids: Sequence[TaskId]
    """Those of them that may run at once, on the database's clock."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """Kept earlier, under the same key; nothing was kept now."""

    task_ids: Sequence[TaskId]


@dataclass(frozen=True, slots=True)
class KeyClash:
    """The key belongs to another submission; nothing was kept."""


@dataclass(frozen=True, slots=True)
class KeyInFlight:
    """A submission with this key is under way at this moment; nothing was kept."""


Verdict = Kept | Replayed | KeyClash | KeyInFlight
