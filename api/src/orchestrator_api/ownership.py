"""Ownership: the one place where something is loaded for somebody.

Every endpoint whose path names a user, a task or a file takes it from here, so
nothing else ever has to compare owners. What belongs to somebody else answers
403 and what does not exist 404, as the original service has it.

Before: ``accounts.identity`` knows the caller.
After: the endpoint has what its path names, and it is the caller's own.
"""

from typing import Annotated

from fastapi import Depends, Path, Request

from orchestrator_api.accounts.identity import Caller
from orchestrator_api.errors import NotFoundError, NotYoursError
from orchestrator_core.errors import TaskNotFoundError
from orchestrator_core.files import FileId, UploadedFile
from orchestrator_core.tasks import Task, TaskId, UserId

MAX_ID = 2**63 - 1
"""The largest bigint; nothing has an id above."""

PathId = Annotated[int, Path(ge=1, le=MAX_ID)]


async def own_task(request: Request, caller: Caller, task_id: PathId) -> Task:
    """Return the task, which is the caller's.

    Raises:
        TaskNotFoundError: no task has this id.
        NotYoursError: it is somebody else's.
    """
    task: Task | None = await request.state.tasks.find(TaskId(task_id), reader=caller)
    if task is None:
        raise TaskNotFoundError(task_id)
    if task.user_id != caller:
        raise NotYoursError("You can only access your own tasks")
    return task


async def own_file(request: Request, caller: Caller, file_id: PathId) -> UploadedFile:
    """Return the file, which is whole, has not expired and is the caller's.

    Raises:
        NotFoundError: no such file has this id.
        NotYoursError: it is somebody else's.
    """
    file: UploadedFile | None = await request.state.files.find(FileId(file_id))
    if file is None:
        raise NotFoundError("File not found")
    if file.user_id != caller:
        raise NotYoursError("You can only access your own files")
    return file


async def own_account(caller: Caller, user_id: PathId) -> UserId:
    """Return the user, who is the caller.

    Raises:
        NotYoursError: it is somebody else, or nobody: which one is not told.
    """
    if user_id != caller:
        raise NotYoursError("You can only access your own tasks")
    return caller


OwnTask = Annotated[Task, Depends(own_task)]
OwnFile = Annotated[UploadedFile, Depends(own_file)]
OwnAccount = Annotated[UserId, Depends(own_account)]
