"""The inside of a child process: one attempt of a plain handler.

Everything that crosses the border is plain data: the request is text and
numbers, the answer is a pickled ``Ending`` of the core. An exception of a user's
package never crosses, because it may not survive the journey. Progress goes its
own way, see ``progress``.

A child is asked to end with SIGTERM. While it runs an attempt this raises
``AttemptCancelled`` in the handler, and the process ends after the handler's
``finally`` blocks; half a second after the signal the worker kills it.

Before: ``processes`` sends a ``ChildRequest``.
After: ``processes`` unpickles the ``Ending``.
"""

import functools
import os
import pickle
import resource
import signal
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from random import SystemRandom
from types import FrameType
from typing import Any, Self

import structlog

from orchestrator_core.attempts import Ending, ProgressReport
from orchestrator_core.handlers import (
    AttemptCancelled,
    Handler,
    TaskContext,
    discover_handlers,
)
from orchestrator_core.logs import configure_logs
from orchestrator_worker.progress import ReportSender
from orchestrator_worker.verdicts import (
    ending_of_error,
    ending_of_return,
    is_expected,
    out_of_memory,
    parse_payload,
)

_log = structlog.get_logger(__name__)
_CHANCE = SystemRandom()
"""Of retries' delays. Forked children would share the state of any other generator."""
_discovered = functools.cache(discover_handlers)
_reports: socket.socket | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildRequest:
    """What a child needs to run one attempt."""

    task_type: str
    payload: str
    """JSON text; parsed and decoded here, so that a hostile one harms nobody else."""
    context: TaskContext
    """Only its facts cross; the child makes it report and know of its end."""
    log_context: Mapping[str, object]
    """Bound to every log line of the attempt."""


class Cancellation:
    """Makes ``AttemptCancelled`` of SIGTERM, once, while it is entered."""

    def __init__(self) -> None:
        self.is_asked = False
        self._before: Any = signal.SIG_DFL

    def __enter__(self) -> Self:
        self._before = signal.signal(signal.SIGTERM, self._raise)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGTERM, self._before)

    def end_process(self) -> None:
        """End as the signal would have ended the process by itself."""
        # The exception may have come between leaving the handler and putting this back.
        signal.signal(signal.SIGTERM, self._before)
        signal.raise_signal(signal.SIGTERM)

    def _raise(self, _number: int, _frame: FrameType | None) -> None:
        if not self.is_asked:
            self.is_asked = True
            raise AttemptCancelled


def prepare(lifeline: Connection, reports: socket.socket, log_level: str) -> None:
    """Make a new child ready: it dies with its worker, logs like it and knows every handler.

    Args:
        lifeline: ends when the worker does, however that happens. Nothing is ever sent on it.
        reports: where progress goes; the lane's for as long as there is a child.
        log_level: the worker's own.
    """
    global _reports  # noqa: PLW0603 - a call's arguments are pickled, which no socket survives
    _reports = reports
    threading.Thread(target=_die_with, args=(lifeline,), daemon=True).start()
    configure_logs(app="worker", level=log_level)
    _discovered()


def warm() -> None:
    """Do nothing: whoever gets the answer knows that the child is ready."""


def run_attempt(request: ChildRequest, number: int) -> bytes:
    """Run one attempt under its handler's memory limit; return the pickled ``Ending``.

    Does not return when the attempt is cancelled: nobody waits for its ending.

    Args:
        request: the attempt.
        number: names it among those of its lane, on its reports.
    """
    answer = b""
    cancellation = Cancellation()
    context = replace(
        request.context,
        reporter=_reporter(number),
        cancellation=lambda: cancellation.is_asked,
    )
    try:
        with cancellation:
            answer = _run_limited(replace(request, context=context))
    except AttemptCancelled:
        pass
    # A handler that swallowed the exception has ended too late all the same.
    if cancellation.is_asked:
        cancellation.end_process()
    return answer


def _run_limited(request: ChildRequest) -> bytes:
    handler = _discovered()[request.task_type]
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (_lowest(handler.memory_bytes, hard), hard))
    try:
        with structlog.contextvars.bound_contextvars(**request.log_context):
            return _pickled(run_handler(handler, request), request)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def run_handler(handler: Handler, request: ChildRequest) -> Ending:
    """Call a plain handler and judge how it ended.

    Raises:
        AttemptCancelled: the attempt is to end; nothing else is ever raised.
    """
    try:
        payload = parse_payload(handler, request.payload)
        returned = handler.run(payload, request.context)
    except AttemptCancelled:
        raise
    except BaseException as error:  # noqa: BLE001 - user code may break here, SystemExit too
        if not is_expected(error):
            _log.warning("handler_raised", exc_info=error)
        return ending_of_error(error, attempt=request.context.attempt, chance=_CHANCE)
    return ending_of_return(returned, max_result_bytes=request.context.max_result_bytes)


def _reporter(number: int) -> Callable[[ProgressReport], object]:
    if _reports is None:
        raise RuntimeError("this process is no child of a lane: prepare() was not called")
    return ReportSender(_reports, number=number).send


def _die_with(lifeline: Connection) -> None:
    # Else a child that computes would outlive a killed worker: the fork server, its parent,
    # lives on as long as its children do.
    lifeline.poll(None)
    os.kill(os.getpid(), signal.SIGKILL)


def _pickled(ending: Ending, request: ChildRequest) -> bytes:
    try:
        return pickle.dumps(ending)
    except MemoryError:
        return pickle.dumps(out_of_memory(attempt=request.context.attempt, chance=_CHANCE))


def _lowest(wanted: int, hard: int) -> int:
    return wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
