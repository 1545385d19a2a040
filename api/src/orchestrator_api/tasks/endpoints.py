"""``/api/v1``: the task endpoints of the original service, and what goes beyond.

Before: ``app`` mounts the router.
After: ``service`` does the work; errors become problems.
"""

from collections.abc import Mapping
from hashlib import blake2b
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request, Response, status
from pydantic import BaseModel

from orchestrator_api.accounts.identity import Caller, Session
from orchestrator_api.bodies import describe_body, json_body
from orchestrator_api.etags import is_current
from orchestrator_api.events.long_polls import MAX_WAIT_SECONDS, await_change
from orchestrator_api.limits.dependencies import LIMITED_BY_USER
from orchestrator_api.openapi import NOT_MODIFIED, describe_problems
from orchestrator_api.ownership import MAX_ID, OwnAccount, OwnTask
from orchestrator_api.tasks import idempotency
from orchestrator_api.tasks.catalogue import Catalogue
from orchestrator_api.tasks.idempotency import GivenOrigin
from orchestrator_api.tasks.schemas import (
    SubmitTask,
    SubmitTasks,
    TaskAccepted,
    TaskPage,
    TasksAccepted,
    TaskSummaryView,
    TaskTypes,
    TaskTypeView,
    TaskView,
)
from orchestrator_api.tasks.service import TaskService
from orchestrator_api.tasks.submitting import Submitting
from orchestrator_core.postgres.task_store import TaskFilter
from orchestrator_core.tasks import Task, TaskId, TaskStatus

PAGE_LIMIT = 1_000
"""Also the default: clients of the original know no pages and expect all their tasks."""
_FRESH = {"Cache-Control": "private, no-cache"}

router = APIRouter(prefix="/api/v1", tags=["tasks"], dependencies=LIMITED_BY_USER)


async def _service(request: Request) -> TaskService:
    service: TaskService = request.state.tasks
    return service


async def _submitting(request: Request) -> Submitting:
    submitting: Submitting = request.state.submitting
    return submitting


async def _catalogue(request: Request) -> Catalogue:
    catalogue: Catalogue = request.state.catalogue
    return catalogue


Service = Annotated[TaskService, Depends(_service)]
Submits = Annotated[Submitting, Depends(_submitting)]


@router.post(
    "/tasks",
    status_code=status.HTTP_201_CREATED,
    openapi_extra={**describe_body(SubmitTask), **idempotency.DESCRIPTION},
    responses=describe_problems(401, 409, 413, 415, 422, 429, 503),
)
async def submit_task(
    wish: Annotated[SubmitTask, Depends(json_body(SubmitTask))],
    origin: GivenOrigin,
    submits: Submits,
    request: Request,
    response: Response,
) -> TaskAccepted:
    """Create a task. After 201 it runs, whatever happens to this service."""
    accepted = await submits.submit(wish, origin)
    [task_id] = accepted.task_ids
    request.state.task_id, request.state.task_type = task_id, wish.task_type
    response.headers["Location"] = _path_of(task_id)
    if accepted.is_replayed:
        response.headers.update(idempotency.REPLAYED)
    return TaskAccepted(task_id=task_id)


@router.post(
    "/tasks/batch",
    status_code=status.HTTP_201_CREATED,
    openapi_extra={**describe_body(SubmitTasks), **idempotency.DESCRIPTION},
    responses=describe_problems(401, 409, 413, 415, 422, 429, 503),
)
async def submit_batch(
    wish: Annotated[SubmitTasks, Depends(json_body(SubmitTasks))],
    origin: GivenOrigin,
    submits: Submits,
    response: Response,
) -> TasksAccepted:
    """Create many tasks in one transaction: all of them, or none."""
    accepted = await submits.submit_many(wish, origin)
    if accepted.is_replayed:
        response.headers.update(idempotency.REPLAYED)
    return TasksAccepted(tasks=[TaskAccepted(task_id=each) for each in accepted.task_ids])


@router.get(
    "/tasks/{task_id}",
    response_model=TaskView,
    responses={**NOT_MODIFIED, **describe_problems(401, 403, 404, 422, 429, 503)},
)
async def read_task(
    task: OwnTask,
    session: Session,
    service: Service,
    request: Request,
    wait: Annotated[
        int,
        Query(ge=0, le=MAX_WAIT_SECONDS, description="seconds to wait for news, at most"),
    ] = 0,
) -> Response:
    """Show a task of the caller.

    With `wait`, the answer comes when the task is final; with `If-None-Match` too, when it has
    moved in any way; progress is no move. When the time is over it comes in any case.
    """
    if_none_match = request.headers.get("if-none-match")
    if wait and (if_none_match is None or is_current(if_none_match, _etag_of(task))):
        until_final = if_none_match is None
        is_changed = await await_change(
            request, session, task, seconds=wait, until_final=until_final
        )
        # Progress ends no waiting, but the answer shows it as it is then.
        if is_changed or task.status is TaskStatus.PROCESSING:
            task = await service.read_again(task)
    return _show_task(task, if_none_match=if_none_match)


@router.post(
    "/tasks/{task_id}/cancel",
    response_model=TaskView,
    responses=describe_problems(401, 403, 404, 409, 422, 429, 503),
)
async def cancel_task(task: OwnTask, service: Service) -> Response:
    """End a task that waits or runs. What has been cancelled already stays so."""
    return _show_task(await service.cancel(task))


@router.post(
    "/tasks/{task_id}/retry",
    status_code=status.HTTP_201_CREATED,
    responses=describe_problems(401, 403, 404, 409, 422, 429, 503),
)
async def retry_task(
    task: OwnTask, submits: Submits, request: Request, response: Response
) -> TaskAccepted:
    """Run a failed task again, as a new one. Asked again, the answer is the same."""
    accepted = await submits.retry(task, trace_context=request.state.trace_context)
    [task_id] = accepted.task_ids
    request.state.task_id, request.state.task_type = task_id, task.task_type
    response.headers["Location"] = _path_of(task_id)
    return TaskAccepted(task_id=task_id)


@router.get(
    "/users/{user_id}/tasks",
    response_model=TaskPage,
    responses=describe_problems(401, 403, 404, 422, 429, 503),
)
async def list_tasks(  # noqa: PLR0913 - FastAPI reads the query's parameters from here
    user_id: OwnAccount,
    service: Service,
    *,
    wanted_status: Annotated[
        TaskStatus | None, Query(alias="status", description="only tasks of this status")
    ] = None,
    task_type: Annotated[
        str | None,
        Query(
            min_length=1,
            max_length=128,
            pattern=r"^[^\x00]+$",
            description="only tasks of this type",
            examples=["IMAGE_RESIZE"],
        ),
    ] = None,
    limit: Annotated[
        int, Query(ge=1, le=PAGE_LIMIT, description="tasks on a page, at most")
    ] = PAGE_LIMIT,
    cursor: Annotated[
        int, Query(ge=0, le=MAX_ID, description="`next_cursor` of the page before")
    ] = 0,
) -> Response:
    """List the caller's tasks, oldest first.

    With a filter, a page may hold fewer tasks than asked for, or none, and yet have a
    `next_cursor`: only a null says that nothing follows.
    """
    wanted = TaskFilter(status=wanted_status, task_type=task_type)
    page = await service.list_page(user_id, wanted, after=TaskId(cursor), limit=limit)
    headers = {}
    if page.next_cursor is not None:
        query = {"status": wanted_status, "task_type": task_type, "limit": limit}
        given = {name: value for name, value in query.items() if value is not None}
        target = urlencode({**given, "cursor": page.next_cursor})
        headers["Link"] = f'</api/v1/users/{user_id}/tasks?{target}>; rel="next"'
    tasks = [TaskSummaryView.from_summary(task) for task in page.tasks]
    return _to_json(TaskPage(tasks=tasks, next_cursor=page.next_cursor), headers)


@router.get("/task-types", responses=describe_problems(401, 429, 503))
async def list_task_types(
    _: Caller, catalogue: Annotated[Catalogue, Depends(_catalogue)]
) -> TaskTypes:
    """List what can be run, with the schema of each payload."""
    known = await catalogue.list_all()
    return TaskTypes(task_types=[TaskTypeView.from_known(each) for each in known])


def _show_task(task: Task, *, if_none_match: str | None = None) -> Response:
    etag = _etag_of(task)
    headers = {**_FRESH, "ETag": etag}
    if is_current(if_none_match, etag):
        return Response(status_code=status.HTTP_304_NOT_MODIFIED, headers=headers)
    return _to_json(TaskView.from_task(task), headers)


def _etag_of(task: Task) -> str:
    # Each change of a task appends an event, so the last one's number names its state; only the
    # progress changes without.
    if task.progress is None:
        return f'"{task.id}-{task.last_event}"'
    said = f"{task.progress} {task.progress_message}".encode()
    return f'"{task.id}-{task.last_event}-{blake2b(said, digest_size=8).hexdigest()}"'


def _to_json(view: BaseModel, headers: Mapping[str, str]) -> Response:
    """Return ``view`` as it is: FastAPI would check again what was checked when it was made."""
    body = view.__pydantic_serializer__.to_json(view)
    return Response(body, headers=dict(headers), media_type="application/json")


def _path_of(task_id: TaskId) -> str:
    return f"/api/v1/tasks/{task_id}"
