"""``/api/v1``: the task endpoints of the original service, and what goes beyond.

Before: ``app`` mounts the router.
After: ``service`` does the work; errors become problems.
"""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response, status

from orchestrator_api.accounts.identity import Caller
from orchestrator_api.bodies import describe_body, json_body
from orchestrator_api.limits.dependencies import LIMITED_BY_USER
from orchestrator_api.openapi import describe_problems
from orchestrator_api.ownership import MAX_ID, OwnAccount, OwnTask
from orchestrator_api.tasks.catalogue import Catalogue
from orchestrator_api.tasks.downloads import build_download
from orchestrator_api.tasks.schemas import (
    SubmitTask,
    TaskAccepted,
    TaskPage,
    TaskSummaryView,
    TaskTypes,
    TaskTypeView,
    TaskView,
)
from orchestrator_api.tasks.service import TaskService
from orchestrator_core.tasks import TaskId

PAGE_LIMIT = 1_000
"""Also the default: clients of the original know no pages and expect all their tasks."""

router = APIRouter(prefix="/api/v1", tags=["tasks"], dependencies=LIMITED_BY_USER)


async def _service(request: Request) -> TaskService:
    service: TaskService = request.state.tasks
    return service


async def _catalogue(request: Request) -> Catalogue:
    catalogue: Catalogue = request.state.catalogue
    return catalogue


Service = Annotated[TaskService, Depends(_service)]


@router.post(
    "/tasks",
    status_code=status.HTTP_201_CREATED,
    openapi_extra=describe_body(SubmitTask),
    responses=describe_problems(401, 413, 415, 422, 429, 503),
)
async def submit_task(
    caller: Caller,
    wish: Annotated[SubmitTask, Depends(json_body(SubmitTask))],
    service: Service,
    request: Request,
    response: Response,
) -> TaskAccepted:
    """Create a task. After 201 it runs, whatever happens to this service."""
    task_id = await service.submit(wish, user_id=caller, trace_context=request.state.trace_context)
    request.state.task_id, request.state.task_type = task_id, wish.task_type
    response.headers["Location"] = f"/api/v1/tasks/{task_id}"
    return TaskAccepted(task_id=task_id)


@router.get("/tasks/{task_id}", responses=describe_problems(401, 403, 404, 422, 429, 503))
async def read_task(task: OwnTask) -> TaskView:
    """Show a task of the caller."""
    return TaskView.from_task(task)


@router.get(
    "/tasks/{task_id}/result",
    response_class=Response,
    responses={
        200: {"description": "The file", "content": {"application/octet-stream": {}}},
        304: {"description": "The caller has it already"},
        **describe_problems(401, 403, 404, 422, 429, 503),
    },
)
async def download_result(task: OwnTask, service: Service, request: Request) -> Response:
    """Download the file that a completed task left."""
    result = await service.read_result(task)
    return build_download(result, if_none_match=request.headers.get("if-none-match"))


@router.get("/users/{user_id}/tasks", responses=describe_problems(401, 403, 404, 422, 429, 503))
async def list_tasks(
    user_id: OwnAccount,
    service: Service,
    limit: Annotated[
        int, Query(ge=1, le=PAGE_LIMIT, description="tasks on a page, at most")
    ] = PAGE_LIMIT,
    cursor: Annotated[
        int, Query(ge=0, le=MAX_ID, description="`next_cursor` of the page before")
    ] = 0,
) -> TaskPage:
    """List the caller's tasks, oldest first."""
    page = await service.list_page(user_id, after=TaskId(cursor), limit=limit)
    return TaskPage(
        tasks=[TaskSummaryView.from_summary(task) for task in page.tasks],
        next_cursor=page.next_cursor,
    )


@router.get("/task-types", responses=describe_problems(401, 429, 503))
async def list_task_types(
    _: Caller, catalogue: Annotated[Catalogue, Depends(_catalogue)]
) -> TaskTypes:
    """List what can be run, with the schema of each payload."""
    known = await catalogue.list_all()
    return TaskTypes(task_types=[TaskTypeView.from_known(each) for each in known])
