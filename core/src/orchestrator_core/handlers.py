"""What authors of task types import: a group to register handlers in, and what they may say.

A handler turns a validated payload into a file. An ``async`` one runs on the
worker's event loop; a plain one runs in a process of its own, so that it may
compute, hang or crash without harm to its neighbours.

    handlers = HandlerGroup()

    class Greeting(Payload):
        name: str = "world"

    @handlers.register("greet", payload=Greeting, timeout_seconds=10)
    def greet(payload: Greeting, context: TaskContext) -> ResultFile:
        return ResultFile(content=f"Hello {payload.name}".encode(),
                          content_type="text/plain", file_name="greeting.txt")

A type that works on files of its owner says which (``inputs=``), and one that needs
what only a store knows fetches it (``gather=``), both before its handler runs; so a
plain handler finds all it needs in its own folder and speaks to nobody.

A package offers its group through the entry-point group
``orchestrator.handlers``: ``greetings = "acme_greetings:handlers"``. A handler
may run more than once for the same task, so it must be idempotent. Tests of it
call ``orchestrator_core.handler_testing.run_handler``.

Before: the worker calls ``discover_handlers`` once at its start.
After: the worker publishes the types and runs the handlers.
"""

import inspect
import io
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, TypeVar

import structlog
from pydantic import BaseModel, ConfigDict
from structlog.typing import FilteringBoundLogger

from orchestrator_core.attempts import ProgressReport, ResultFile, ResultOnDisk
from orchestrator_core.errors import HandlerSetupError
from orchestrator_core.files import InputFile, Link, Upload
from orchestrator_core.owners import OwnersData
from orchestrator_core.tasks import ErrorCode, TaskId

ENTRY_POINT_GROUP = "orchestrator.handlers"
DEFAULT_TIMEOUT_SECONDS = 60
DEFAULT_MAX_ATTEMPTS = 5

MAX_TYPE_LENGTH = 128
"""As the API takes it in a submission."""

MAX_MESSAGE_LENGTH = 200
"""Of a progress report, in characters: one line for a person, not a log."""


class Payload(BaseModel):
    """Base of payload models: frozen, unknown fields refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class GiveUpError(Exception):
    """The task can't succeed, however often it is tried; the message goes to its owner."""

    def __init__(self, message: str = "", *, code: ErrorCode = ErrorCode.HANDLER_ERROR) -> None:
        super().__init__(message)
        self.code = code

    def __reduce__(self) -> tuple[Any, ...]:
        """Survive the way back from a child process."""
        return (_rebuild_give_up, (str(self), self.code))


def _rebuild_give_up(message: str, code: ErrorCode) -> GiveUpError:
    return GiveUpError(message, code=code)


class RetryLaterError(Exception):
    """Not now: try again after ``delay_seconds``. Spends an attempt, logs no error."""

    def __init__(self, message: str, *, delay_seconds: float) -> None:
        super().__init__(message, delay_seconds)
        self.message = message
        self.delay_seconds = delay_seconds

    def __reduce__(self) -> tuple[Any, ...]:
        """Survive the way back from a child process."""
        return (_rebuild_retry, (self.message, self.delay_seconds))


def _rebuild_retry(message: str, delay_seconds: float) -> RetryLaterError:
    return RetryLaterError(message, delay_seconds=delay_seconds)


class AttemptCancelled(BaseException):
    """The attempt of a plain handler ends now: too late, cancelled, or its worker stops.

    Raised wherever the handler is, so that its ``finally`` blocks run; half a second later its
    process is killed. Don't catch it. An ``async`` handler gets ``asyncio.CancelledError``.
    """


class ResultWriter(io.BytesIO):
    """A result under way, for libraries that write to a binary file."""

    def __init__(self, *, file_name: str, content_type: str) -> None:
        super().__init__()
        self._file_name = file_name
        self._content_type = content_type

    def finish(self) -> ResultFile:
        """Return what was written, whatever the position, without copying it."""
        return ResultFile(
            content=self.getvalue(), content_type=self._content_type, file_name=self._file_name
        )


DEFAULT_MAX_RESULT_BYTES = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Workplace:
    """Where one attempt works: a folder of its own, that goes with the attempt."""

    folder: Path
    inputs: Mapping[str, InputFile] = field(default_factory=dict)
    """By the names that the type's ``inputs`` gave them."""


def _tell_nobody(_: ProgressReport) -> None:
    pass


def _never() -> bool:
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskContext:
    """What a handler may know of its attempt, and say while it runs. Any thread may use it."""

    task_id: TaskId
    attempt: int
    """1 for the first."""
    max_result_bytes: int = DEFAULT_MAX_RESULT_BYTES
    """A result that is larger is refused: don't write more."""
    workplace: Workplace | None = None
    """None: the type has neither ``inputs`` nor ``gather``."""
    owners_data: OwnersData | None = field(default=None, repr=False)
    """None in a child process."""
    traceparent: str = ""
    """For the headers of calls to other services, so that they belong to the task's trace."""
    reporter: Callable[[ProgressReport], object] = field(default=_tell_nobody, repr=False)
    """Takes what ``report`` makes; for those who run handlers."""
    cancellation: Callable[[], bool] = field(default=_never, repr=False)
    """Asked by ``is_cancelled``; for those who run handlers."""

    def report(self, fraction: float, message: str = "") -> None:
        """Tell the task's owner how far this attempt is. Cheap, and never raises.

        Args:
            fraction: from 0 to 1; only what is more than before counts.
            message: one line for a person, up to 200 characters.
        """
        try:
            self.reporter(to_progress_report(fraction, message))
        except Exception as error:  # noqa: BLE001 - news of the work must not end the work
            self.logger.debug("progress_not_reported", error=repr(error))

    @property
    def inputs(self) -> Mapping[str, InputFile]:
        """The files that the payload names, by the names that the type's ``inputs`` gave them."""
        return self._workplace.inputs

    @property
    def folder(self) -> Path:
        """A folder for this attempt alone; it is deleted with all that is in it afterwards."""
        return self._workplace.folder

    @property
    def owner(self) -> OwnersData:
        """What the task's owner has. Not for plain handlers, whose process speaks to no store.

        Raises:
            RuntimeError: it is a plain handler.
        """
        if self.owners_data is None:
            raise RuntimeError(
                "a plain handler can't reach its owner's data: fetch it with gather=, or declare"
                " the handler with 'async def'"
            )
        return self.owners_data

    @property
    def _workplace(self) -> Workplace:
        if self.workplace is None:
            raise RuntimeError("register the task type with inputs= or gather= to get a folder")
        return self.workplace

    @property
    def is_cancelled(self) -> bool:
        """Whether the attempt is to end: for threads and loops that no exception reaches."""
        return self.cancellation()

    @property
    def logger(self) -> FilteringBoundLogger:
        """Writes to the worker's log; each line names the task."""
        # Bound here too: threads of the handler don't have the context of the attempt.
        logger: FilteringBoundLogger = structlog.get_logger(__name__)
        return logger.bind(task_id=self.task_id, attempt=self.attempt)

    def result(self, file_name: str, content_type: str) -> ResultWriter:
        """Return a binary file to write the result to; ``return`` what its ``finish()`` gives."""
        return ResultWriter(file_name=file_name, content_type=content_type)


def to_progress_report(fraction: object, message: object = "") -> ProgressReport:
    """Make a report that any store can keep of whatever a handler says. Never raises."""
    return ProgressReport(_clamped(fraction), _line_of(message))


def _clamped(fraction: object) -> float:
    try:
        number = float(fraction)  # type: ignore[arg-type]  # what is no number shows here
    except Exception:  # noqa: BLE001 - the author's object may do anything
        return 0.0
    # NaN compares as false, and so becomes 0.
    return min(number, 1.0) if number > 0 else 0.0


def _line_of(message: object) -> str:
    try:
        text = str(message)[:MAX_MESSAGE_LENGTH]
    except Exception:  # noqa: BLE001 - the author's object may do anything
        return ""
    # Postgres keeps neither NUL nor lone surrogates.
    return text.replace("\0", "").encode("utf-8", "replace").decode()


PayloadT = TypeVar("PayloadT", bound=BaseModel)
HandlerFunction = Callable[
    [PayloadT, TaskContext], ResultFile | ResultOnDisk | Awaitable[ResultFile | ResultOnDisk]
]
NameInputs = Callable[[PayloadT], Mapping[str, Upload | Link]]
Gather = Callable[[PayloadT, TaskContext], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Handler:
    """How one task type is run."""

    task_type: str
    payload: type[BaseModel]
    run: HandlerFunction[Any]
    timeout_seconds: int
    """Wall time of one attempt; a task may ask for less, never for more."""
    max_attempts: int
    memory_bytes: int
    """Address space of the process that runs a plain handler."""
    inputs: NameInputs[Any] | None = None
    """Says which files of its owner a payload names."""
    gather: Gather[Any] | None = None
    """Writes what a plain handler needs of the stores into ``TaskContext.folder``."""
    is_async: bool = field(init=False)
    """Whether it runs on the event loop rather than in a process of its own."""
    is_supplied: bool = field(init=False)
    """Whether its attempts get a workplace."""

    def __post_init__(self) -> None:
        """Look at the function once: attempts are many."""
        object.__setattr__(self, "is_async", inspect.iscoroutinefunction(self.run))
        is_supplied = self.inputs is not None or self.gather is not None
        object.__setattr__(self, "is_supplied", is_supplied)

    def name_inputs(self, payload: BaseModel) -> Mapping[str, Upload | Link]:
        """Return what a payload asks for, by name; nothing for a type without ``inputs``."""
        return {} if self.inputs is None else self.inputs(payload)


@dataclass(slots=True)
class HandlerGroup:
    """The handlers of one package."""

    _handlers: list[Handler] = field(default_factory=list)

    def register(  # noqa: PLR0913 - each names one fact of the task type
        self,
        *task_types: str,
        payload: type[PayloadT],
        timeout_seconds: int = DEFAULT_TIMEOUT_SECONDS,
        max_attempts: int = DEFAULT_MAX_ATTEMPTS,
        memory_bytes: int = 1 << 30,
        inputs: NameInputs[PayloadT] | None = None,
        gather: Gather[PayloadT] | None = None,
    ) -> Callable[[HandlerFunction[PayloadT]], HandlerFunction[PayloadT]]:
        """Serve ``task_types`` with the decorated function, which stays as it is.

        Args:
            task_types: its names, up to 128 characters each.
            payload: what its tasks must be given; its JSON schema is published.
            timeout_seconds: wall time of one attempt, at most.
            max_attempts: of one task, unless it asks for another number.
            memory_bytes: address space of the process that runs a plain handler.
            inputs: names the files of its owner, or URLs, that a payload asks for; the worker
                fetches them before the handler runs, which finds them in ``context.inputs``. URLs
                only where whoever runs the platform has allowed them.
            gather: runs on the event loop before a plain handler, with ``context.owner`` and
                ``context.folder``; leaves in the folder what the handler needs of the stores.

        Raises:
            ValueError: something of this can't be.
        """
        limits = {
            "timeout_seconds": timeout_seconds,
            "max_attempts": max_attempts,
            "memory_bytes": memory_bytes,
        }
        _check_registration(task_types, limits)

        def add(run: HandlerFunction[PayloadT]) -> HandlerFunction[PayloadT]:
            self._handlers += [
                Handler(
                    task_type=task_type,
                    payload=payload,
                    run=run,
                    timeout_seconds=timeout_seconds,
                    max_attempts=max_attempts,
                    memory_bytes=memory_bytes,
                    inputs=inputs,
                    gather=gather,
                )
                for task_type in task_types
            ]
            return run

        return add

    def __iter__(self) -> Iterator[Handler]:
        return iter(self._handlers)


def _check_registration(task_types: Sequence[str], limits: Mapping[str, int]) -> None:
    if not task_types:
        raise ValueError("name at least one task type")
    for task_type in task_types:
        if not 0 < len(task_type) <= MAX_TYPE_LENGTH or not task_type.isprintable():
            raise ValueError(
                f"task type {task_type!r}: a name has 1 to {MAX_TYPE_LENGTH} printable characters"
            )
    for name, limit in limits.items():
        if limit < 1:
            raise ValueError(f"task type {task_types[0]!r}: {name} is {limit}, expected 1 or more")


def discover_handlers() -> dict[str, Handler]:
    """Load every installed group; return the handlers by task type.

    Raises:
        HandlerSetupError: a package can't be imported or offers no group, or two
            serve the same type. A worker must not start with half of its types.
    """
    handlers: dict[str, Handler] = {}
    origins: dict[str, str] = {}
    for entry_point in entry_points(group=ENTRY_POINT_GROUP):
        for each in _load_group(entry_point):
            if each.task_type in handlers:
                raise HandlerSetupError(
                    f"task type {each.task_type!r} is defined twice, by"
                    f" {origins[each.task_type]} and by {entry_point.value}: rename one of them,"
                    " or uninstall its package"
                )
            handlers[each.task_type], origins[each.task_type] = each, entry_point.value
    return handlers


def _load_group(entry_point: EntryPoint) -> HandlerGroup:
    try:
        group = entry_point.load()
    except (Exception, SystemExit) as error:
        raise HandlerSetupError(f"can't import {entry_point.value}: {error!r}") from error
    if not isinstance(group, HandlerGroup):
        raise HandlerSetupError(f"{entry_point.value} is no HandlerGroup but {type(group)}")
    return group
