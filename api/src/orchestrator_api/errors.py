"""What a request may be refused for, beside what the stores raise.

    OrchestratorError
    ├── InvalidRequestError        the client's data is wrong; each fault names its field
    ├── BodyTooLargeError          the body passes the limit
    ├── UnsupportedMediaTypeError  the body is not declared as JSON
    ├── UnauthenticatedError       no valid token, or wrong credentials
    ├── NotYoursError              it exists, but belongs to somebody else
    ├── NoResultError              the task has left no file (yet)
    └── DeadlineExceededError      the request took too long

Before: endpoints, services and middleware raise them.
After: ``problems`` maps each to an answer.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from orchestrator_core.errors import OrchestratorError
from orchestrator_core.tasks import TaskStatus


@dataclass(frozen=True, slots=True)
class FieldFault:
    """One thing that is wrong with a request."""

    field: str
    """Where: ``payload.width``, ``limit``; ``body`` for the whole."""
    message: str
    """What was expected."""


class InvalidRequestError(OrchestratorError):
    """The client's data is wrong."""

    code = "invalid_request"

    def __init__(self, faults: Iterable[FieldFault]) -> None:
        self.faults = tuple(faults)
        super().__init__("; ".join(f"{fault.field}: {fault.message}" for fault in self.faults))


class BodyTooLargeError(OrchestratorError):
    """The body passes the limit."""

    code = "body_too_large"

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(f"the body may have at most {limit_bytes} bytes")
        self.limit_bytes = limit_bytes


class UnsupportedMediaTypeError(OrchestratorError):
    """The body is not declared as JSON."""

    code = "unsupported_media_type"


class UnauthenticatedError(OrchestratorError):
    """No valid token, or wrong credentials. The message goes to the client: it must not help."""

    code = "unauthenticated"


class NotYoursError(OrchestratorError):
    """It belongs to somebody else."""

    code = "not_yours"


class NoResultError(OrchestratorError):
    """The task has left no file (yet)."""

    code = "no_result"

    def __init__(self, task_id: int, status: TaskStatus) -> None:
        super().__init__(f"task {task_id} is {status} and has no result")
        self.task_id = task_id


class DeadlineExceededError(OrchestratorError):
    """The request took too long."""

    code = "deadline_exceeded"
