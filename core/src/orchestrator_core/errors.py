"""Every error that one part raises and another part catches.

A class exists only where somebody tells it apart. HTTP statuses are mapped at
the API's edge and kopf's errors at the operator's, never here.

    OrchestratorError
    ├── SettingsError            a process can't start with what it was given
    ├── StoreUnavailableError    Postgres, RabbitMQ or Redis did not answer in time
    ├── RowRefusedError          Postgres refused this very row; others may pass
    ├── OverloadedError          a bounded queue is full
    ├── NotAnEnvelopeError       a message that is no task envelope
    ├── UnknownTaskTypeError     no worker has published this type
    ├── TaskNotFoundError        no task has this id
    ├── NameTakenError           the username is in use
    ├── QuotaExceededError       the user's files would take more room than allowed
    └── HandlerSetupError        task types that can't be served as installed

Before: stores and settings raise them.
After: ``orchestrator_api.problems``, the worker's loops and the operator catch them.
"""

from collections.abc import Iterable


class OrchestratorError(Exception):
    """Root of the tree. ``code`` is stable and meant for machines."""

    code = "internal"


class SettingsError(OrchestratorError):
    """The environment lacks something or holds a value that can't be right."""

    code = "settings"


class StoreUnavailableError(OrchestratorError):
    """A store did not answer in time or refused the connection; trying again may help."""

    code = "store_unavailable"

    def __init__(self, store: str, attempted: str) -> None:
        super().__init__(f"{store} did not answer: {attempted}")
        self.store = store
        self.attempted = attempted


class RowRefusedError(OrchestratorError):
    """Postgres refused the data of one row."""

    code = "row_refused"


class OverloadedError(OrchestratorError):
    """A bounded queue is full; the caller should come back later."""

    code = "overloaded"

    def __init__(self, what: str, limit: int) -> None:
        super().__init__(f"{what}: {limit} are waiting already")
        self.what = what
        self.limit = limit


class NotAnEnvelopeError(OrchestratorError):
    """The bytes of a message are no task envelope of a known version."""

    code = "not_an_envelope"


class UnknownTaskTypeError(OrchestratorError):
    """No worker has published this task type."""

    code = "unknown_task_type"

    def __init__(self, task_type: str, known: Iterable[str]) -> None:
        self.task_type = task_type
        self.known = tuple(sorted(known))
        super().__init__(f"no task type {task_type!r}; known are {', '.join(self.known) or 'none'}")


class TaskNotFoundError(OrchestratorError):
    """No task has this id."""

    code = "task_not_found"

    def __init__(self, task_id: int) -> None:
        super().__init__(f"no task {task_id}")
        self.task_id = task_id


class NameTakenError(OrchestratorError):
    """Another account has this username, compared without case."""

    code = "name_taken"


class QuotaExceededError(OrchestratorError):
    """The user's files would take more room than allowed. The message goes to the client."""

    code = "quota_exceeded"

    def __init__(self, quota_bytes: int) -> None:
        super().__init__(f"your files may take {quota_bytes} bytes together; delete some first")
        self.quota_bytes = quota_bytes


class HandlerSetupError(OrchestratorError):
    """An installed package of task types can't be imported, or defines a type twice."""

    code = "handler_setup"
