"""Errors as answers: ``application/problem+json`` (RFC 9457) with the original's ``error`` key.

Every error that leaves the API passes through here, so no driver's text and no
stack trace can: only messages written for clients are copied into a body.

Before: endpoints and middleware raise.
After: the client gets a status, a sentence and, for a 503, when to come back.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from pydantic_core import ErrorDetails, to_json
from starlette.exceptions import HTTPException
from starlette.responses import Response

from orchestrator_api import errors as api
from orchestrator_api.errors import FieldFault, to_type_fault
from orchestrator_api.methods import find_methods
from orchestrator_core import errors as core

MEDIA_TYPE = "application/problem+json"
MAX_FAULTS = 100
"""Of one answer; 10 MB of wrong tasks must not be answered with as much."""
RETRY_AFTER_SECONDS = 2
"""A restarting store needs a few seconds; clients that come sooner only add load."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What is said about one error."""

    status: HTTPStatus
    code: str
    """Stable and for machines; the end of ``type``."""
    error: str
    """One sentence for people; the original's key."""
    detail: str | None = None
    faults: Sequence[FieldFault] = ()
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Answer:
    """How one kind of error is answered."""

    status: HTTPStatus
    error: str | None = None
    """None: the error's own message, written for clients."""
    shows_message: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)


_COME_BACK = {"Retry-After": str(RETRY_AFTER_SECONDS)}
_CHALLENGE = {"WWW-Authenticate": "Bearer"}
_TOO_LARGE = "Request body too large"
_NOT_JSON = "Unsupported media type"

_UNAVAILABLE = (core.StoreUnavailableError, core.OverloadedError, api.DeadlineExceededError)
_ANSWERS: Mapping[type[core.OrchestratorError], _Answer] = {
    api.UnauthenticatedError: _Answer(HTTPStatus.UNAUTHORIZED, headers=_CHALLENGE),
    api.WrongPasswordError: _Answer(HTTPStatus.FORBIDDEN),
    api.NotYoursError: _Answer(HTTPStatus.FORBIDDEN),
    core.TaskNotFoundError: _Answer(HTTPStatus.NOT_FOUND, "Task not found"),
    api.NoResultError: _Answer(HTTPStatus.NOT_FOUND, "Result not found", shows_message=True),
    api.ResultGoneError: _Answer(HTTPStatus.GONE, "Result gone", shows_message=True),
    api.NotFoundError: _Answer(HTTPStatus.NOT_FOUND),
    api.ConflictError: _Answer(HTTPStatus.CONFLICT),
    core.QuotaExceededError: _Answer(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "Quota exceeded", shows_message=True
    ),
    core.NameTakenError: _Answer(HTTPStatus.CONFLICT, "Username already exists"),
    api.BodyTooLargeError: _Answer(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, _TOO_LARGE, shows_message=True
    ),
    api.BodyTooSlowError: _Answer(
        HTTPStatus.REQUEST_TIMEOUT, "Request body too slow", shows_message=True
    ),
    api.UnsupportedMediaTypeError: _Answer(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE, _NOT_JSON, shows_message=True
    ),
}

INTERNAL = Problem(
    status=HTTPStatus.INTERNAL_SERVER_ERROR,
    code="internal",
    error="Internal server error",
    detail="Something went wrong here, not with the request. The log has it under the trace_id.",
)


def to_problem(error: core.OrchestratorError) -> Problem:
    """Return what a client may know of ``error``."""
    faults = _find_faults(error)
    if faults:
        return _invalid(faults)
    if isinstance(error, api.RateLimitedError):
        return _rate_limited(error)
    if isinstance(error, _UNAVAILABLE):
        return _unavailable(error)
    if isinstance(error, api.RangeNotSatisfiableError):
        return _not_satisfiable(error)
    answer = _ANSWERS.get(type(error))
    if answer is None:
        return INTERNAL
    return Problem(
        status=answer.status,
        code=error.code,
        error=answer.error or str(error),
        detail=str(error) if answer.shows_message else None,
        headers=answer.headers,
    )


def respond(problem: Problem, *, path: str) -> Response:
    """Return ``problem`` as the answer to a request for ``path``."""
    trace_id = structlog.contextvars.get_contextvars().get("trace_id")
    body = to_body(problem, path=path, trace_id=trace_id)
    return Response(
        to_json(body), problem.status, headers=dict(problem.headers), media_type=MEDIA_TYPE
    )


def to_body(problem: Problem, *, path: str, trace_id: str | None) -> dict[str, object]:
    """Return the members of ``problem`` as a client reads them."""
    body: dict[str, object] = {
        "type": f"urn:orchestrator:problem:{problem.code}",
        "title": problem.status.phrase,
        "status": problem.status.value,
        "detail": problem.detail or problem.error,
        "instance": path,
        "error": problem.error,
    }
    if problem.faults:
        body["errors"] = [{"field": f.field, "message": f.message} for f in problem.faults]
    if trace_id is not None:
        body["trace_id"] = trace_id
    return body


def to_faults(error: ValidationError | RequestValidationError) -> list[FieldFault]:
    """Return what pydantic found wrong, without the values themselves."""
    return [_to_fault(each) for each in error.errors()[:MAX_FAULTS]]


def install_problem_handlers(app: FastAPI) -> None:
    """Make every error of ``app`` leave it as a problem."""
    app.add_exception_handler(core.OrchestratorError, answer_error)
    app.add_exception_handler(RequestValidationError, _handle_validation)
    app.add_exception_handler(HTTPException, _handle_http)


async def answer_error(request: Request, error: Exception) -> Response:
    """Answer one of our own errors; what is no client's business is raised again."""
    assert isinstance(error, core.OrchestratorError)  # noqa: S101 - Starlette's signature is wider
    problem = to_problem(error)
    if problem is INTERNAL:
        raise error
    if problem.status is HTTPStatus.SERVICE_UNAVAILABLE:
        structlog.get_logger(__name__).warning("unavailable", reason=str(error))
    return respond(problem, path=request.url.path)


async def _handle_validation(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - Starlette's signature is wider
    if any(each["loc"][0] == "path" for each in error.errors()):
        # A path whose id is no id names nothing, unless another route has just this path.
        methods = find_methods(request.app, request.scope)
        problem = _not_found() if request.method in methods else _not_allowed(methods)
        return respond(problem, path=request.url.path)
    return respond(_invalid(to_faults(error)), path=request.url.path)


async def _handle_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - Starlette's signature is wider
    status = HTTPStatus(error.status_code)
    if status is HTTPStatus.METHOD_NOT_ALLOWED:
        problem = _not_allowed(find_methods(request.app, request.scope))
    else:
        problem = _plain(status, headers=error.headers or {})
    return respond(problem, path=request.url.path)


def _find_faults(error: core.OrchestratorError) -> Sequence[FieldFault]:
    match error:
        case api.InvalidRequestError():
            return error.faults
        case core.UnknownTaskTypeError():
            return [to_type_fault(error)]
        case core.RowRefusedError():
            return [FieldFault("body", "holds a value that can't be stored")]
    return []


def _invalid(faults: Sequence[FieldFault]) -> Problem:
    return Problem(
        status=HTTPStatus.UNPROCESSABLE_ENTITY,
        code=api.InvalidRequestError.code,
        error="Invalid request",
        detail="; ".join(f"{fault.field}: {fault.message}" for fault in faults[:5]),
        faults=faults,
    )


def _rate_limited(error: api.RateLimitedError) -> Problem:
    return Problem(
        status=HTTPStatus.TOO_MANY_REQUESTS,
        code=error.code,
        error="Rate limit exceeded",
        detail=f"Try again in {error.retry_after_seconds:.1f} s.",
        headers=error.headers,
    )


def _unavailable(error: core.OrchestratorError) -> Problem:
    detail = {
        core.OverloadedError.code: "Too many requests are waiting; nothing was kept.",
        api.DeadlineExceededError.code: "The request took too long and was given up.",
    }.get(error.code, "A part that this request needs does not answer.")
    return Problem(
        status=HTTPStatus.SERVICE_UNAVAILABLE,
        code=error.code,
        error="Service unavailable",
        detail=f"{detail} Try again in {RETRY_AFTER_SECONDS} s.",
        headers=_COME_BACK,
    )


def _not_satisfiable(error: api.RangeNotSatisfiableError) -> Problem:
    return Problem(
        status=HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
        code=error.code,
        error="Range not satisfiable",
        detail=str(error),
        # RFC 9110 section 14.4: so that the client can ask again for what there is.
        headers={"Content-Range": f"bytes */{error.size_bytes}"},
    )


def _not_found() -> Problem:
    return _plain(HTTPStatus.NOT_FOUND, headers={})


def _not_allowed(methods: Sequence[str]) -> Problem:
    # Where there is GET there is HEAD.
    allowed = {*methods, "HEAD"} if "GET" in methods else methods
    headers = {"Allow": ", ".join(sorted(allowed))}
    return _plain(HTTPStatus.METHOD_NOT_ALLOWED, headers=headers)


def _plain(status: HTTPStatus, *, headers: Mapping[str, str]) -> Problem:
    return Problem(status=status, code=status.name.lower(), error=status.phrase, headers=headers)


def _to_fault(details: ErrorDetails) -> FieldFault:
    # FastAPI prefixes where the value came from ("query", "limit"); the name is enough.
    location = [part for part in details["loc"] if part not in ("query", "body", "header")]
    return FieldFault(".".join(str(part) for part in location) or "body", details["msg"])
