"""``/api/v1/…/events``: follow tasks as they go.

Before: ``app`` mounts the router.
After: ``telling`` and ``streams`` answer for as long as the client likes.
"""

import re
from typing import Annotated

from fastapi import APIRouter, Header, Request, Response, status

from orchestrator_api.accounts.identity import Session
from orchestrator_api.errors import FieldFault, InvalidRequestError
from orchestrator_api.events.feed import LAST_EVENT_ID
from orchestrator_api.events.permits import Permit
from orchestrator_api.events.streams import MEDIA_TYPE, EventStream
from orchestrator_api.events.telling import telling_task, telling_user
from orchestrator_api.limits.dependencies import LIMITED_BY_USER
from orchestrator_api.openapi import Responses, describe_problems
from orchestrator_api.ownership import MAX_ID, OwnTask
from orchestrator_core.events import EventPosition
from orchestrator_core.tasks import Task, TaskId

MAX_SEQ = 2**31 - 1
"""The largest integer of Postgres."""
_ID = re.compile(r"([1-9]\d{0,18})-(0|[1-9]\d{0,18})-(0|[1-9]\d{0,9})", re.ASCII)
_PATTERN = r"^[1-9]\d{0,17}-(0|[1-9]\d{0,17})-(0|[1-9]\d{0,8})$"
"""For the document: what is in it, is taken; a few more are."""

router = APIRouter(prefix="/api/v1", tags=["events"], dependencies=LIMITED_BY_USER)


def _describe_stream(example: str) -> Responses:
    content = {MEDIA_TYPE: {"schema": {"type": "string"}, "example": example}}
    return {200: {"description": "The events, as they happen", "content": content}}


_AN_EVENT = (
    'data: {"task_id":1,"seq":3,"at":"2026-01-01T00:00:00Z","status":"COMPLETED",'
    '"kind":"COMPLETED","reason":null}\n\n'
)


_PROGRESS = (
    'event: progress\ndata: {"task_id":1,"progress":0.4,"progress_message":"page 4 of 10"}\n\n'
)


@router.get(
    "/tasks/{task_id}/events",
    response_class=Response,
    responses={
        **_describe_stream(f"retry: 2000\n\n{_PROGRESS}event: task\nid: 3\n{_AN_EVENT}"),
        204: {"description": "The final event has been told: do not come back"},
        **describe_problems(401, 403, 404, 422, 429, 503),
    },
)
async def watch_task(
    task: OwnTask,
    session: Session,
    request: Request,
    last_event_id: Annotated[
        int | None,
        Header(
            alias=LAST_EVENT_ID,
            ge=0,
            le=MAX_SEQ,
            description="`id` of the last event that came, to go on after it",
            examples=[2],
        ),
    ] = None,
) -> Response:
    """Follow a task of the caller: all that has happened, then what happens, to the final event.

    Server-Sent Events named `task`; `id` is the event's `seq`. Between them come events named
    `progress`, about one a second at most, without `id`: only the latest one counts, and who comes
    back is told that. The stream also ends when the access token does: come back with a new one
    and `Last-Event-ID`.
    """
    after = last_event_id or 0
    if after > task.last_event:
        raise _ahead_of(task)
    if task.status.is_final and after == task.last_event:
        # The one answer that keeps an EventSource from coming back.
        return Response(status_code=status.HTTP_204_NO_CONTENT)
    permit = Permit.of(request, session)
    telling = telling_task(request.state.feed, task.id, after=after, permit=permit)
    return EventStream(telling, request.state.places.taking(session.user_id))


@router.get(
    "/events",
    response_class=Response,
    responses={
        **_describe_stream(
            f"retry: 2000\nid: 741-0-0\n\n{_PROGRESS}event: task\nid: 742-1-3\n{_AN_EVENT}"
        ),
        **describe_problems(401, 422, 429, 503),
    },
)
async def watch_events(
    session: Session,
    request: Request,
    last_event_id: Annotated[
        str | None,
        Header(
            alias=LAST_EVENT_ID,
            description="`id` of the last event that came, to go on after it",
            examples=["742-1-3"],
            json_schema_extra={"pattern": _PATTERN},
        ),
    ] = None,
) -> Response:
    """Follow all tasks of the caller, from now on or after `Last-Event-ID`.

    Server-Sent Events named `task`. Their ids are in the order in which they are told, across
    all tasks; nothing is left out and nothing comes twice to who comes back with the last one.
    Between them come events named `progress`, about one a second for each task at most, without
    `id`: only the latest one counts. The stream ends when the access token does.
    """
    after = None if last_event_id is None else parse_id(last_event_id)
    permit = Permit.of(request, session)
    telling = telling_user(request.state.feed, session.user_id, after=after, permit=permit)
    return EventStream(telling, request.state.places.taking(session.user_id))


def parse_id(text: str) -> EventPosition:
    """Return the position that a client calls ``text``.

    Raises:
        InvalidRequestError: nothing was ever called so.
    """
    match = _ID.fullmatch(text)
    transaction, task_id, seq = map(int, match.groups()) if match else (0, 0, 0)
    if not match or max(transaction, task_id) > MAX_ID or seq > MAX_SEQ:
        message = "expected the id of an event, such as 742-1-3"
        raise InvalidRequestError([FieldFault(LAST_EVENT_ID, message)])
    return EventPosition(transaction=transaction, task_id=TaskId(task_id), seq=seq)


def _ahead_of(task: Task) -> InvalidRequestError:
    message = f"names an event that has not happened; the task's last one is {task.last_event}"
    return InvalidRequestError([FieldFault(LAST_EVENT_ID, message)])
