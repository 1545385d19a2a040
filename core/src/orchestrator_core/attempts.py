"""One attempt at a task: the claim that allows it and the outcomes it may have.

Before: ``postgres.task_store.claim`` hands out a ``Claim``.
After: the worker's ``executing`` makes an ``Outcome`` of it, whose result ``storing`` has
kept or left to its row, and ``settling`` brings both back to ``postgres.task_store.settle``.
"""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

from orchestrator_core.tasks import ErrorCode, TaskId, UserId


class Claim(NamedTuple):
    """The right to run one attempt, until ``lease_until`` on the database's clock.

    ``task_id``, ``epoch`` and ``lease_token`` are the fence: a settlement that
    does not match all three is refused. A tuple, because each attempt makes one: a frozen
    dataclass of so many fields takes four times as long.
    """

    task_id: TaskId
    user_id: UserId
    task_type: str
    payload: str
    epoch: int
    lease_token: UUID
    attempt: int
    """1 for the first; spent by the claim, so that a task which kills its worker runs out."""
    max_attempts: int
    timeout_seconds: int
    trace_context: str
    lease_until: datetime
    waited_seconds: float
    """Since it was due: submitted, or to be tried again."""

    @property
    def is_last_attempt(self) -> bool:
        """Whether a failure of this attempt is final."""
        return self.attempt >= self.max_attempts


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultFile:
    """What a handler returns: a file for the task's owner."""

    content: bytes
    content_type: str
    file_name: str
    """Shown to the owner and used for the download; a plain name without folders."""

    @property
    def size_bytes(self) -> int:
        """How long it is."""
        return len(self.content)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultOnDisk:
    """What a handler returns instead if its result may be large: it lies in the task's folder."""

    path: Path
    content_type: str
    file_name: str

    @property
    def size_bytes(self) -> int:
        """How long it is.

        Raises:
            OSError: it is not there.
        """
        return self.path.stat().st_size

    def read(self) -> ResultFile:
        """Return it with its bytes: its folder goes with the attempt.

        Raises:
            OSError: it is not there.
        """
        return ResultFile(
            content=self.path.read_bytes(),
            content_type=self.content_type,
            file_name=self.file_name,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultObject:
    """A result whose bytes are in the object store already, under a key of this attempt's own."""

    key: str
    size_bytes: int
    sha256: bytes
    content_type: str
    file_name: str


ReturnedResult = ResultFile | ResultOnDisk
KeptResult = ResultFile | ResultObject
"""What a settlement can carry: the bytes, or where they are."""


@dataclass(frozen=True, slots=True)
class Returned:
    """The handler returned something that may be kept."""

    result: ReturnedResult


@dataclass(frozen=True, slots=True)
class Succeeded:
    """The handler returned, and its result is kept or comes along."""

    result: KeptResult


@dataclass(frozen=True, slots=True)
class Failed:
    """The attempt failed for good: no retry, whatever the budget."""

    code: ErrorCode
    message: str


@dataclass(frozen=True, slots=True)
class RetryAfter:
    """The attempt failed and another one may follow after ``delay_seconds``."""

    code: ErrorCode | None
    """None: no fault, the handler asked for it or the worker is not the right one."""
    message: str
    delay_seconds: float


@dataclass(frozen=True, slots=True)
class HandedBack:
    """The worker is draining: the attempt does not count and the task is due at once."""


Ending = Returned | Failed | RetryAfter
"""How a handler ended."""
Outcome = Succeeded | Failed | RetryAfter | HandedBack
"""How an attempt ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """An outcome beside the claim that allows it to be recorded."""

    claim: Claim
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class ProgressReport:
    """How far an attempt is, as its handler says."""

    fraction: float
    """From 0 to 1."""
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tending:
    """A look at a lease while its attempt runs, with what is new of it."""

    claim: Claim
    progress: ProgressReport | None
    """None: nothing new."""
