"""Structured logs: one JSON object a line on standard output.

Every line about a task carries ``task_id``, ``task_type``, ``epoch`` and
``trace_id`` through ``speak_of``; secrets are never passed to a logger.

Our own lines go straight to the output: by way of the standard library a line
took three times as long, which a busy API felt. Lines of libraries
take that way, and look the same.

Before: each ``__main__`` calls ``configure_logs`` first.
After: whoever collects the container's output.
"""

import contextlib
import json
import logging
import sys
from collections.abc import Mapping
from contextvars import ContextVar
from threading import Lock
from typing import BinaryIO

import structlog
from pydantic_core import PydanticSerializationError, to_json
from structlog.typing import EventDict, Processor, WrappedLogger

_EXCEPTIONS = structlog.processors.ExceptionRenderer(
    # Without local variables: they may hold a password or a whole picture.
    structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
)
_subject: ContextVar[Mapping[str, object]] = ContextVar("subject")


def speak_of(subject: Mapping[str, object]) -> None:
    """Put these fields on every line of the current context, for good.

    One variable for all of them: as context variables of their own, four fields cost an attempt
    more than handing its task to the event loop.
    """
    _subject.set(subject)


def _add_subject(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    return {**_subject.get({}), **event}


_SHARED: list[Processor] = [
    structlog.contextvars.merge_contextvars,
    _add_subject,
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
]


class LineLogger:
    """Writes finished lines; what structlog calls the wrapped logger."""

    _lock = Lock()
    """One for all: a line is never inside another, whichever thread writes it."""

    def __init__(self, name: str, output: BinaryIO) -> None:
        self.name = name
        self._output = output

    def msg(self, line: bytes) -> None:
        """Write one line at once: the last ones before a crash are the ones that matter."""
        # A full disk or a collector that went away must not fail what the line is about.
        with self._lock, contextlib.suppress(OSError):
            self._output.write(line + b"\n")
            self._output.flush()

    debug = info = warning = error = critical = exception = msg


def configure_logs(*, app: str, level: str = "INFO") -> None:
    """Send our own and every library's log lines to standard output as JSON.

    Args:
        app: which process this is; on each line as ``app``.
        level: the lowest level that is written.
    """

    def add_app(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        # No context variable: other threads begin without any.
        return {**event, "app": app}

    _configure_libraries(level, add_app)
    output = sys.stdout.buffer

    def make_logger(name: str = "") -> LineLogger:
        return LineLogger(name, output)

    structlog.configure(
        processors=[*_SHARED, add_app, _add_name, _EXCEPTIONS, render_line],
        logger_factory=make_logger,
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )


def render_line(_logger: WrappedLogger, _method: str, event: EventDict) -> bytes:
    """Return ``event`` as one line of JSON. Never raises: a log line must not break its subject."""
    try:
        return to_json(event, fallback=repr)
    except (PydanticSerializationError, ValueError):
        # A lone surrogate, or bytes that are no text: escaped instead of refused.
        return json.dumps(event, default=repr).encode()


def _configure_libraries(level: str, add_app: Processor) -> None:
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*_SHARED, add_app, structlog.stdlib.add_logger_name],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            _EXCEPTIONS,
            structlog.processors.JSONRenderer(),
        ],
    )
    output = logging.StreamHandler(sys.stdout)
    output.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers = [output]
    root.setLevel(level)
    # Else Python writes its warnings, as of a library's forgotten coroutine, as plain text.
    logging.captureWarnings(capture=True)
    # aiormq logs each reconnect with a stack trace; our own line says it in a sentence.
    logging.getLogger("aiormq").setLevel(logging.CRITICAL)


def _add_name(logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    event["logger"] = logger.name
    return event
