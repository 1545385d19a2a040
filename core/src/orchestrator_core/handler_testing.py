"""A test kit for authors of task types: run a handler as the worker would, without a worker.

    def test_a_greeting_names_whom_it_greets() -> None:
        result = run_handler(handlers, "greet", {"name": "Ada"})

        assert result.content == b"Hello Ada"

The payload is read from JSON as the worker reads it, and ``supplies`` says which files
its owner has. What the handler raises arrives as it is. It runs in the test's own
process: its time limit, its memory limit and the end of a cancelled attempt are the
worker's business.

Before: a package of task types has a test.
After: the test looks at the ``ResultFile``, and at the progress that was reported.
"""

import asyncio
import inspect
import json
import mimetypes
import shutil
import tempfile
from collections.abc import Coroutine, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from orchestrator_core.attempts import ProgressReport, ResultFile, ResultOnDisk
from orchestrator_core.errors import UnknownTaskTypeError
from orchestrator_core.files import InputFile, Link, Upload
from orchestrator_core.handlers import (
    DEFAULT_MAX_RESULT_BYTES,
    GiveUpError,
    Handler,
    TaskContext,
    Workplace,
)
from orchestrator_core.owners import OwnersData
from orchestrator_core.tasks import ErrorCode, TaskId

A_TASK = TaskId(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Supplies:
    """What the owner of a test's task has, and what may be kept of its result."""

    files: Mapping[int, Path] = field(default_factory=dict)
    """Uploads by their ids; each is copied, and its type guessed from its name."""
    links: Mapping[str, Path] = field(default_factory=dict)
    """What URLs answer."""
    owners_data: OwnersData | None = None
    max_result_bytes: int = DEFAULT_MAX_RESULT_BYTES
    """Told to the handler; what it returns is not checked against it."""


NOTHING = Supplies()


def run_handler(  # noqa: PLR0913 - each names one fact of the attempt
    handlers: Handler | Iterable[Handler],
    task_type: str,
    payload: Mapping[str, Any],
    *,
    attempt: int = 1,
    reports: list[ProgressReport] | None = None,
    supplies: Supplies = NOTHING,
) -> ResultFile:
    """Run one attempt and return its result; for tests without an event loop.

    Args:
        handlers: one handler, or a group of them.
        task_type: which of them.
        payload: what a client would send; JSON values only.
        attempt: 1 for the first.
        reports: gets what the handler reports, in its order, also if it raises in the end.
        supplies: what its owner has.

    Raises:
        UnknownTaskTypeError: no handler has this type.
        pydantic.ValidationError: the payload does not fit; the worker would fail the task.
        TypeError: the handler returned something else than a file.
        Exception: whatever the handler raises; ``GiveUpError`` and ``RetryLaterError`` too.
    """
    trial = _Trial(_find(handlers, task_type), payload, attempt, reports, supplies)
    if trial.needs_loop and _is_loop_running():
        raise RuntimeError("an event loop runs already: await run_handler_async() instead")
    with tempfile.TemporaryDirectory(prefix="run-handler-") as folder:
        context = trial.context
        if trial.handler.is_supplied:
            context = asyncio.run(trial.supplied(Path(folder)))
        # A plain handler runs without an event loop, as in its process.
        returned: object = trial.handler.run(trial.model, context)
        if inspect.iscoroutine(returned):
            returned = asyncio.run(trial.awaited(returned))
        return _checked(returned)


async def run_handler_async(  # noqa: PLR0913 - likewise
    handlers: Handler | Iterable[Handler],
    task_type: str,
    payload: Mapping[str, Any],
    *,
    attempt: int = 1,
    reports: list[ProgressReport] | None = None,
    supplies: Supplies = NOTHING,
) -> ResultFile:
    """Do what ``run_handler`` does, on the event loop of an ``async`` test."""
    trial = _Trial(_find(handlers, task_type), payload, attempt, reports, supplies)
    with tempfile.TemporaryDirectory(prefix="run-handler-") as folder:
        context = trial.context
        if trial.handler.is_supplied:
            context = await trial.supplied(Path(folder))
        returned: object = trial.handler.run(trial.model, context)
        if inspect.iscoroutine(returned):
            returned = await trial.awaited(returned)
        return _checked(returned)


class _Trial:
    """One attempt of one handler."""

    def __init__(
        self,
        handler: Handler,
        payload: Mapping[str, Any],
        attempt: int,
        reports: list[ProgressReport] | None,
        supplies: Supplies,
    ) -> None:
        self.handler = handler
        self.model = handler.payload.model_validate_json(json.dumps(payload, allow_nan=False))
        self.needs_loop = handler.is_async or handler.is_supplied
        self._supplies = supplies
        heard: list[ProgressReport] = [] if reports is None else reports
        self.context = TaskContext(
            task_id=A_TASK,
            attempt=attempt,
            max_result_bytes=supplies.max_result_bytes,
            owners_data=supplies.owners_data if handler.is_async else None,
            reporter=heard.append,
        )

    async def supplied(self, folder: Path) -> TaskContext:
        """Do what the worker's ``supplying`` does."""
        inputs = {
            name: _copied(source, self._supplies, folder / f"input-{number}")
            for number, (name, source) in enumerate(self.handler.name_inputs(self.model).items())
        }
        context = replace(self.context, workplace=Workplace(folder=folder, inputs=inputs))
        if self.handler.gather is not None:
            gathering = replace(context, owners_data=self._supplies.owners_data)
            await self.handler.gather(self.model, gathering)
        return context

    async def awaited(self, returned: Coroutine[Any, Any, object]) -> object:
        """Return what an async handler returns."""
        if not self.handler.is_async:
            returned.close()
            raise TypeError(
                f"declare the handler of {self.handler.task_type!r} with 'async def'; it"
                " returned a coroutine"
            )
        return await returned


def _copied(source: Upload | Link, supplies: Supplies, path: Path) -> InputFile:
    if isinstance(source, Link):
        original = supplies.links.get(source.url)
    else:
        original = supplies.files.get(source.file_id)
    if original is None:
        raise GiveUpError(f"there is no {source}", code=ErrorCode.INPUT_NOT_FOUND)
    shutil.copyfile(original, path)
    content_type, _ = mimetypes.guess_type(original.name)
    return InputFile(
        path=path,
        size_bytes=path.stat().st_size,
        content_type=content_type or "application/octet-stream",
        file_name=original.name,
    )


def _find(handlers: Handler | Iterable[Handler], task_type: str) -> Handler:
    some = (handlers,) if isinstance(handlers, Handler) else tuple(handlers)
    by_type = {each.task_type: each for each in some}
    if task_type not in by_type:
        raise UnknownTaskTypeError(task_type, by_type)
    return by_type[task_type]


def _is_loop_running() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _checked(returned: object) -> ResultFile:
    if isinstance(returned, ResultOnDisk):
        return returned.read()
    if not isinstance(returned, ResultFile):
        raise TypeError(f"the handler returned {type(returned).__name__}; expected a ResultFile")
    return returned
