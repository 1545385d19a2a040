"""``/api/v1/files``, and the results of tasks: files in, files out.

Before: ``app`` mounts the router; ``ownership`` has loaded what the path names.
After: ``receiving`` takes in, ``downloads`` hands out; errors become problems.
"""

from contextlib import AbstractContextManager
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response, status
from pydantic import AfterValidator

from orchestrator_api.accounts.identity import Caller
from orchestrator_api.errors import NoResultError, ResultGoneError
from orchestrator_api.files.downloads import Asked, build_download
from orchestrator_api.files.media_types import OCTETS
from orchestrator_api.files.names import FOLDERS, NAME_PATTERN, require_plain_name
from orchestrator_api.files.receiving import Receiving
from orchestrator_api.files.schemas import FilePage, FileView
from orchestrator_api.files.wiring import FileParts
from orchestrator_api.limits.dependencies import LIMITED_BY_USER
from orchestrator_api.openapi import NOT_MODIFIED, Responses, describe_problems
from orchestrator_api.ownership import MAX_ID, OwnFile, OwnTask
from orchestrator_core.files import MAX_NAME_LENGTH, FileId, TaskResult
from orchestrator_core.tasks import TaskStatus

PAGE_LIMIT = 1_000

router = APIRouter(prefix="/api/v1", tags=["files"], dependencies=LIMITED_BY_USER)

_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "The file itself, with the media type that it has, not a form.",
        "content": {OCTETS: {"schema": {"type": "string", "format": "binary"}}},
    }
}
_FILE = {"*/*": {"schema": {"type": "string", "format": "binary"}}}
_WHOLE: Responses = {200: {"description": "The file", "content": _FILE}}
_DOWNLOAD: Responses = {
    **_WHOLE,
    206: {"description": "The part of it that `Range` names", "content": _FILE},
    **NOT_MODIFIED,
    **describe_problems(401, 403, 404, 416, 422, 429, 503),
}
_INSPECTION: Responses = {
    200: {"description": "What GET would answer, without the file"},
    **NOT_MODIFIED,
    **describe_problems(401, 403, 404, 422, 429, 503),
}
_GONE = describe_problems(410)
"""Of a result whose time is over; a file whose time is over was never there."""
_CONDITIONS = {
    "parameters": [
        {
            "name": name,
            "in": "header",
            "required": False,
            "description": description,
            "schema": {"type": "string"},
            "example": example,
        }
        for name, description, example in (
            ("Range", "one part of the file; anything else gets the whole", "bytes=0-1023"),
            ("If-Range", "the `ETag` that `Range` is about; else the whole", '"9f86d081"'),
            ("If-None-Match", "the `ETag` of what the client has; then 304", '"9f86d081"'),
        )
    ]
}
FileName = Annotated[
    str,
    Query(
        description="a plain name, for people and for the download; no folders",
        examples=["photo.jpg"],
        json_schema_extra={
            "minLength": 1,
            "maxLength": MAX_NAME_LENGTH,
            # Text has no half characters, and not every engine knows a class of them.
            "pattern": NAME_PATTERN.replace(r"\ud800-\udfff", ""),
            "not": {"enum": list(FOLDERS)},
        },
    ),
    AfterValidator(require_plain_name),
]


async def _parts(request: Request) -> FileParts:
    parts: FileParts = request.state.files
    return parts


async def _receiving(request: Request) -> Receiving:
    parts: FileParts = request.state.files
    return parts.receiving


Parts = Annotated[FileParts, Depends(_parts)]


async def _find_result(task: OwnTask, parts: Parts) -> TaskResult:
    result = await parts.results.find(task.id)
    if result is None:
        if task.status is TaskStatus.COMPLETED:
            raise ResultGoneError(task.id)
        raise NoResultError(task.id, task.status)
    return result


async def _take_place(caller: Caller, parts: Parts) -> AbstractContextManager[None]:
    return parts.downloads.taking(caller)


OwnResult = Annotated[TaskResult, Depends(_find_result)]
Place = Annotated[AbstractContextManager[None], Depends(_take_place)]


@router.post(
    "/files",
    status_code=status.HTTP_201_CREATED,
    openapi_extra=_BODY,
    responses=describe_problems(401, 408, 413, 415, 422, 429, 503),
)
async def upload_file(
    caller: Caller,
    receiving: Annotated[Receiving, Depends(_receiving)],
    request: Request,
    response: Response,
    file_name: FileName,
) -> FileView:
    """Upload a file for tasks to work on. It is kept for some days, unless deleted before."""
    new = receiving.announce(request.headers, user_id=caller, name=file_name)
    file = await receiving.receive(new, request.stream(), request.state.allowance)
    response.headers["Location"] = f"/api/v1/files/{file.id}"
    return FileView.from_file(file)


@router.get("/files", responses=describe_problems(401, 422, 429, 503))
async def list_files(
    caller: Caller,
    parts: Parts,
    response: Response,
    limit: Annotated[
        int, Query(ge=1, le=PAGE_LIMIT, description="files on a page, at most")
    ] = PAGE_LIMIT,
    cursor: Annotated[
        int, Query(ge=0, le=MAX_ID, description="`next_cursor` of the page before")
    ] = 0,
) -> FilePage:
    """List the caller's files, oldest first."""
    # One more than asked for tells whether a next page exists.
    found = await parts.uploads.list_for_user(caller, after=FileId(cursor), limit=limit + 1)
    files = found[:limit]
    next_cursor = files[-1].id if len(found) > limit else None
    if next_cursor is not None:
        response.headers["Link"] = f'</api/v1/files?limit={limit}&cursor={next_cursor}>; rel="next"'
    views = [FileView.from_file(each) for each in files]
    return FilePage(files=views, next_cursor=next_cursor)


@router.get(
    "/files/{file_id}",
    response_class=Response,
    responses=_DOWNLOAD,
    openapi_extra=_CONDITIONS,
)
async def download_file(file: OwnFile, parts: Parts, place: Place, request: Request) -> Response:
    """Download a file of the caller, or a part of it."""
    read = partial(parts.read_upload, file)
    return build_download(file, Asked.of(request), read, place)


@router.head("/files/{file_id}", response_class=Response, responses=_INSPECTION)
async def inspect_file(file: OwnFile, parts: Parts, place: Place, request: Request) -> Response:
    """Show what a file of the caller is, without its content."""
    return await download_file(file, parts, place, request)


@router.delete(
    "/files/{file_id}",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=describe_problems(401, 403, 404, 422, 429, 503),
)
async def delete_file(file: OwnFile, parts: Parts) -> None:
    """Delete a file of the caller, content and all."""
    await parts.uploads.delete(file.id)


@router.get(
    "/tasks/{task_id}/result",
    tags=["tasks"],
    response_class=Response,
    responses=_DOWNLOAD | _GONE,
    openapi_extra=_CONDITIONS,
)
async def download_result(
    result: OwnResult, parts: Parts, place: Place, request: Request
) -> Response:
    """Download the file that a completed task left, or a part of it."""
    read = partial(parts.read_result, result)
    return build_download(result, Asked.of(request), read, place)


@router.head(
    "/tasks/{task_id}/result",
    tags=["tasks"],
    response_class=Response,
    responses=_INSPECTION | _GONE,
)
async def inspect_result(
    result: OwnResult, parts: Parts, place: Place, request: Request
) -> Response:
    """Show what file a completed task left, without its content."""
    return await download_result(result, parts, place, request)
