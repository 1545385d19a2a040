"""The inside of a child process: one attempt of a plain handler.

Everything that crosses the border is plain data: the request is text and
numbers, the answer is a pickled ``Outcome`` of the core. An exception of a user's
package never crosses, because it may not survive the journey.

Before: ``processes`` sends a ``ChildRequest``.
After: ``processes`` unpickles the ``Outcome``.
"""

import functools
import os
import pickle
import resource
import signal
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from random import SystemRandom

import structlog

from orchestrator_core.attempts import Outcome
from orchestrator_core.handlers import Handler, TaskContext, discover_handlers
from orchestrator_core.logs import configure_logs
from orchestrator_worker.verdicts import (
    is_expected,
    out_of_memory,
    outcome_of_error,
    outcome_of_return,
    parse_payload,
)

_log = structlog.get_logger(__name__)
_CHANCE = SystemRandom()
"""Of retries' delays. Forked children would share the state of any other generator."""
_discovered = functools.cache(discover_handlers)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildRequest:
    """What a child needs to run one attempt."""

    task_type: str
    payload: str
    """JSON text; parsed and decoded here, so that a hostile one harms nobody else."""
    context: TaskContext
    max_result_bytes: int
    log_context: Mapping[str, object]
    """Bound to every log line of the attempt."""


def prepare(lifeline: Connection) -> None:
    """Make a new child ready: it dies with its worker, logs like it and knows every handler.

    Args:
        lifeline: ends when the worker does, however that happens. Nothing is ever sent on it.
    """
    threading.Thread(target=_die_with, args=(lifeline,), daemon=True).start()
    configure_logs(app="worker")
    _discovered()


def warm() -> None:
    """Do nothing: whoever gets the answer knows that the child is ready."""


def run_attempt(request: ChildRequest) -> bytes:
    """Run one attempt under its handler's memory limit; return the pickled ``Outcome``."""
    handler = _discovered()[request.task_type]
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (_lowest(handler.memory_bytes, hard), hard))
    try:
        with structlog.contextvars.bound_contextvars(**request.log_context):
            return _pickled(run_handler(handler, request), request)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def run_handler(handler: Handler, request: ChildRequest) -> Outcome:
    """Call a plain handler and judge how it ended. Never raises."""
    try:
        payload = parse_payload(handler, request.payload)
        returned = handler.run(payload, request.context)
    except BaseException as error:  # noqa: BLE001 - user code may break here, SystemExit too
        if not is_expected(error):
            _log.warning("handler_raised", exc_info=error)
        return outcome_of_error(error, attempt=request.context.attempt, chance=_CHANCE)
    return outcome_of_return(returned, max_result_bytes=request.max_result_bytes)


def _die_with(lifeline: Connection) -> None:
    # Else a child that computes would outlive a killed worker: the fork server, its parent,
    # lives on as long as its children do.
    lifeline.poll(None)
    os.kill(os.getpid(), signal.SIGKILL)


def _pickled(outcome: Outcome, request: ChildRequest) -> bytes:
    try:
        return pickle.dumps(outcome)
    except MemoryError:
        return pickle.dumps(out_of_memory(attempt=request.context.attempt, chance=_CHANCE))


def _lowest(wanted: int, hard: int) -> int:
    return wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
