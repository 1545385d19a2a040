"""Builders for tests: sensible defaults, so that a test names only what it is about.

Before: a test needs a claim or a handler.
After: it passes them to the part that it tests.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel

from orchestrator_core.attempts import Claim, ProgressReport, ResultFile
from orchestrator_core.handlers import Handler, HandlerFunction, Payload, TaskContext
from orchestrator_core.tasks import TaskId, UserId

A_TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
"""A trace context, not sampled."""


class AnyPayload(Payload):
    """A payload with one optional field."""

    text: str = ""


def a_result(content: bytes = b"content", **fields: str) -> ResultFile:
    """Return a small text file."""
    facts = {"content_type": "text/plain", "file_name": "file.txt", **fields}
    return ResultFile(content=content, **facts)


def a_claim(task_id: int = 17, **fields: object) -> Claim:
    """Return the first attempt's claim of a task of type ``any``."""
    facts: dict[str, Any] = {
        "task_id": TaskId(task_id),
        "user_id": UserId(1),
        "task_type": "any",
        "payload": "{}",
        "epoch": 1,
        "lease_token": UUID(int=task_id),
        "attempt": 1,
        "max_attempts": 3,
        "timeout_seconds": 60,
        "trace_context": A_TRACE,
        "lease_until": datetime(2030, 1, 1, tzinfo=UTC),
        "waited_seconds": 0.25,
        **fields,
    }
    return Claim(**facts)


def a_context(
    *, attempt: int = 1, reporter: Callable[[ProgressReport], object] | None = None
) -> TaskContext:
    """Return the context of an attempt that is never cancelled; without a listener, by default."""
    context = TaskContext(task_id=TaskId(17), attempt=attempt)
    return context if reporter is None else replace(context, reporter=reporter)


def a_handler(
    run: HandlerFunction[Any] | None = None,
    *,
    task_type: str = "any",
    payload: type[BaseModel] = AnyPayload,
    timeout_seconds: int = 60,
    memory_bytes: int = 1 << 30,
) -> Handler:
    """Return a handler; without ``run``, an async one that returns ``a_result()``."""
    return Handler(
        task_type=task_type,
        payload=payload,
        run=run or _succeed,
        timeout_seconds=timeout_seconds,
        max_attempts=3,
        memory_bytes=memory_bytes,
    )


async def _succeed(_: BaseModel, __: TaskContext) -> ResultFile:
    return a_result()


def raising(error: BaseException) -> Callable[[BaseModel, TaskContext], Awaitable[ResultFile]]:
    """Return an async handler function that raises ``error``."""

    async def run(_: BaseModel, __: TaskContext) -> ResultFile:
        raise error

    return run
