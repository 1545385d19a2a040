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

A package offers its group through the entry-point group
``orchestrator.handlers``: ``greetings = "acme_greetings:handlers"``. A handler
may run more than once for the same task, so it must be idempotent.

Before: the worker calls ``discover_handlers`` once at its start.
After: the worker publishes the types and runs the handlers.
"""

import inspect
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict

from orchestrator_core.attempts import ResultFile
from orchestrator_core.errors import HandlerSetupError
from orchestrator_core.tasks import TaskId

ENTRY_POINT_GROUP = "orchestrator.handlers"
DEFAULT_TIMEOUT_SECONDS = 60
DEFAULT_MAX_ATTEMPTS = 5


class Payload(BaseModel):
    """Base of payload models: frozen, unknown fields refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class GiveUpError(Exception):
    """The task can't succeed, however often it is tried; the message goes to its owner."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskContext:
    """What a handler may know of its attempt."""

    task_id: TaskId
    attempt: int
    """1 for the first."""


PayloadT = TypeVar("PayloadT", bound=BaseModel)
HandlerFunction = Callable[[PayloadT, TaskContext], ResultFile | Awaitable[ResultFile]]


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

    @property
    def is_async(self) -> bool:
        """Whether it runs on the event loop rather than in a process of its own."""
        return inspect.iscoroutinefunction(self.run)


@dataclass(slots=True)
class HandlerGroup:
    """The handlers of one package."""

    _handlers: list[Handler] = field(default_factory=list)

    def register(
        self,
        *task_types: str,
        payload: type[PayloadT],
        timeout_seconds: int = DEFAULT_TIMEOUT_SECONDS,
        max_attempts: int = DEFAULT_MAX_ATTEMPTS,
        memory_bytes: int = 1 << 30,
    ) -> Callable[[HandlerFunction[PayloadT]], HandlerFunction[PayloadT]]:
        """Serve ``task_types`` with the decorated function, which stays as it is."""

        def add(run: HandlerFunction[PayloadT]) -> HandlerFunction[PayloadT]:
            self._handlers += [
                Handler(
                    task_type=task_type,
                    payload=payload,
                    run=run,
                    timeout_seconds=timeout_seconds,
                    max_attempts=max_attempts,
                    memory_bytes=memory_bytes,
                )
                for task_type in task_types
            ]
            return run

        return add

    def __iter__(self) -> Iterator[Handler]:
        return iter(self._handlers)


def discover_handlers() -> dict[str, Handler]:
    """Load every installed group; return the handlers by task type.

    Raises:
        HandlerSetupError: a package can't be imported or offers no group, or two
            serve the same type. A worker must not start with half of its types.
    """
    handlers: dict[str, Handler] = {}
    for entry_point in entry_points(group=ENTRY_POINT_GROUP):
        for each in _load_group(entry_point):
            if each.task_type in handlers:
                raise HandlerSetupError(
                    f"task type {each.task_type!r} is defined twice; one of them by"
                    f" {entry_point.value}"
                )
            handlers[each.task_type] = each
    return handlers


def _load_group(entry_point: EntryPoint) -> HandlerGroup:
    try:
        group = entry_point.load()
    except Exception as error:
        raise HandlerSetupError(f"can't import {entry_point.value}: {error!r}") from error
    if not isinstance(group, HandlerGroup):
        raise HandlerSetupError(f"{entry_point.value} is no HandlerGroup but {type(group)}")
    return group
