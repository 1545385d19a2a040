"""What a request may be refused for, beside what the stores raise.

    OrchestratorError
    ├── InvalidRequestError        the client's data is wrong; each fault names its field
    ├── BodyTooLargeError          the body passes the limit
    ├── BodyTooSlowError           the body does not come within the request's time
    ├── UnsupportedMediaTypeError  the body's type is not one that this call takes
    ├── RateLimitedError           too many requests from this user or address
    ├── UnauthenticatedError       no valid token, or wrong credentials
    ├── WrongPasswordError         the caller is known, but the password to confirm with is not his
    ├── NotYoursError              it exists, but belongs to somebody else
    ├── NotFoundError              there is no such thing, or no longer
    ├── NoResultError              the task has left no file (yet)
    ├── ResultGoneError            the task's file has expired or was deleted
    ├── ConflictError              what is asked for does not fit the state of things
    ├── RangeNotSatisfiableError   the range asked for lies outside the file
    └── DeadlineExceededError      the request took too long

Before: endpoints, services and middleware raise them.
After: ``problems`` maps each to an answer.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from orchestrator_core.errors import OrchestratorError, UnknownTaskTypeError
from orchestrator_core.tasks import TaskStatus


@dataclass(frozen=True, slots=True)
class FieldFault:
    """One thing that is wrong with a request."""

    field: str
    """Where: ``payload.width``, ``limit``; ``body`` for the whole."""
    message: str
    """What was expected."""


def to_type_fault(error: UnknownTaskTypeError) -> FieldFault:
    """Say which task types there are."""
    known = ", ".join(error.known) or "none: no worker has published any yet"
    return FieldFault("task_type", f"unknown; known are {known}")


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


class BodyTooSlowError(OrchestratorError):
    """The body does not come within the request's time."""

    code = "body_too_slow"


class UnsupportedMediaTypeError(OrchestratorError):
    """The body's type is not one that this call takes."""

    code = "unsupported_media_type"


class RateLimitedError(OrchestratorError):
    """Too many requests from this user or address."""

    code = "rate_limited"

    def __init__(self, retry_after_seconds: float, headers: Mapping[str, str]) -> None:
        super().__init__("Rate limit exceeded")
        self.retry_after_seconds = retry_after_seconds
        self.headers = headers
        """``Retry-After``, ``RateLimit`` and ``RateLimit-Policy``."""


class UnauthenticatedError(OrchestratorError):
    """No valid token, or wrong credentials. The message goes to the client: it must not help."""

    code = "unauthenticated"


class WrongPasswordError(OrchestratorError):
    """The caller is known, but the password to confirm with is not his."""

    code = "wrong_password"


class NotYoursError(OrchestratorError):
    """It belongs to somebody else."""

    code = "not_yours"


class NotFoundError(OrchestratorError):
    """There is no such thing, or no longer. The message goes to the client."""

    code = "not_found"


class ConflictError(OrchestratorError):
    """What is asked for does not fit the state of things. The message goes to the client."""

    code = "conflict"


class RangeNotSatisfiableError(OrchestratorError):
    """The range asked for lies outside the file."""

    code = "range_not_satisfiable"

    def __init__(self, size_bytes: int) -> None:
        super().__init__(f"the file has {size_bytes} bytes")
        self.size_bytes = size_bytes


class NoResultError(OrchestratorError):
    """The task has left no file (yet)."""

    code = "no_result"

    def __init__(self, task_id: int, status: TaskStatus) -> None:
        super().__init__(f"task {task_id} is {status} and has no result")
        self.task_id = task_id


class ResultGoneError(OrchestratorError):
    """The task's file was kept for its time, and is no more."""

    code = "result_gone"

    def __init__(self, task_id: int) -> None:
        super().__init__(f"the result of task {task_id} has expired or was deleted")
        self.task_id = task_id


class DeadlineExceededError(OrchestratorError):
    """The request took too long."""

    code = "deadline_exceeded"
