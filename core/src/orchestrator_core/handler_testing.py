"""A test kit for authors of task types: run a handler as the worker would, without a worker.

    def test_a_greeting_names_whom_it_greets() -> None:
        result = run_handler(handlers, "greet", {"name": "Ada"})

        assert result.content == b"Hello Ada"

The payload is read from JSON as the worker reads it. What the handler raises
arrives as it is. It runs in the test's own process: its time limit, its memory
limit and the end of a cancelled attempt are the worker's business.

Before: a package of task types has a test.
After: the test looks at the ``ResultFile``, and at the progress that was reported.
"""

import asyncio
import inspect
import json
from collections.abc import Coroutine, Iterable, Mapping
from typing import Any

from orchestrator_core.attempts import ProgressReport, ResultFile
from orchestrator_core.errors import UnknownTaskTypeError
from orchestrator_core.handlers import Handler, TaskContext
from orchestrator_core.tasks import TaskId

A_TASK = TaskId(1)


def run_handler(
    handlers: Handler | Iterable[Handler],
    task_type: str,
    payload: Mapping[str, Any],
    *,
    attempt: int = 1,
    reports: list[ProgressReport] | None = None,
) -> ResultFile:
    """Run one attempt and return its result; for tests without an event loop.

    Args:
        handlers: one handler, or a group of them.
        task_type: which of them.
        payload: what a client would send; JSON values only.
        attempt: 1 for the first.
        reports: gets what the handler reports, in its order, also if it raises in the end.

    Raises:
        UnknownTaskTypeError: no handler has this type.
        pydantic.ValidationError: the payload does not fit; the worker would fail the task.
        TypeError: the handler returned something else than a file.
        Exception: whatever the handler raises; ``GiveUpError`` and ``RetryLaterError`` too.
    """
    returned = _call(handlers, task_type, payload, attempt=attempt, reports=reports)
    return _checked(_run(returned) if inspect.iscoroutine(returned) else returned)


async def run_handler_async(
    handlers: Handler | Iterable[Handler],
    task_type: str,
    payload: Mapping[str, Any],
    *,
    attempt: int = 1,
    reports: list[ProgressReport] | None = None,
) -> ResultFile:
    """Do what ``run_handler`` does, on the event loop of an ``async`` test."""
    returned = _call(handlers, task_type, payload, attempt=attempt, reports=reports)
    return _checked(await returned if inspect.iscoroutine(returned) else returned)


def _call(
    handlers: Handler | Iterable[Handler],
    task_type: str,
    payload: Mapping[str, Any],
    *,
    attempt: int,
    reports: list[ProgressReport] | None,
) -> object:
    handler = _find(handlers, task_type)
    heard: list[ProgressReport] = [] if reports is None else reports
    context = TaskContext(task_id=A_TASK, attempt=attempt, reporter=heard.append)
    model = handler.payload.model_validate_json(json.dumps(payload, allow_nan=False))
    returned = handler.run(model, context)
    if inspect.iscoroutine(returned) and not handler.is_async:
        returned.close()
        raise TypeError(
            f"declare the handler of {task_type!r} with 'async def'; it returned a coroutine"
        )
    return returned


def _find(handlers: Handler | Iterable[Handler], task_type: str) -> Handler:
    some = (handlers,) if isinstance(handlers, Handler) else tuple(handlers)
    by_type = {each.task_type: each for each in some}
    if task_type not in by_type:
        raise UnknownTaskTypeError(task_type, by_type)
    return by_type[task_type]


def _run(returned: Coroutine[Any, Any, object]) -> object:
    if _is_loop_running():
        returned.close()
        raise RuntimeError("an event loop runs already: await run_handler_async() instead")
    return asyncio.run(returned)


def _is_loop_running() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _checked(returned: object) -> ResultFile:
    if not isinstance(returned, ResultFile):
        raise TypeError(f"the handler returned {type(returned).__name__}; expected a ResultFile")
    return returned
