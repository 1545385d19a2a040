"""Structured logs: one JSON object a line on standard output.

Every line about a task carries ``task_id``, ``task_type``, ``epoch`` and
``trace_id`` through ``bound_contextvars``; secrets are never passed to a logger.

Before: each ``__main__`` calls ``configure_logs`` first.
After: whoever collects the container's output.
"""

import logging
import sys

import structlog
from structlog.typing import Processor

_SHARED: list[Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
    structlog.processors.StackInfoRenderer(),
]


def configure_logs(*, app: str, level: str = "INFO") -> None:
    """Send our own and every library's log lines to standard output as JSON.

    Args:
        app: which process this is; on each line as ``app``.
        level: the lowest level that is written.
    """
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_SHARED,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            # Without local variables: they may hold a password or a whole picture.
            structlog.processors.ExceptionRenderer(
                structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
            ),
            structlog.processors.JSONRenderer(),
        ],
    )
    output = logging.StreamHandler(sys.stdout)
    output.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers = [output]
    root.setLevel(level)
    # aiormq logs each reconnect with a stack trace; our own line says it in a sentence.
    logging.getLogger("aiormq").setLevel(logging.CRITICAL)
    structlog.configure(
        processors=[*_SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(app=app)
