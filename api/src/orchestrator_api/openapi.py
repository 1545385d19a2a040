"""How endpoints say what they may refuse.

Before: endpoints name the statuses they may answer with.
After: ``docs`` shows each with the shape and an example of a problem.
"""

from http import HTTPStatus
from typing import Annotated, Any

from pydantic import BaseModel, Field

from orchestrator_api.problems import MEDIA_TYPE

Responses = dict[int | str, dict[str, Any]]
NOT_MODIFIED: Responses = {304: {"description": "The caller has it already"}}


class FieldFaultView(BaseModel):
    """One thing that is wrong with a request."""

    field: Annotated[str, Field(examples=["payload.width"])]
    message: Annotated[str, Field(examples=["0 is less than the minimum of 1"])]


class ProblemView(BaseModel):
    """An error (RFC 9457); ``error`` is the original service's key."""

    type: Annotated[str, Field(examples=["urn:orchestrator:problem:invalid_request"])]
    title: Annotated[str, Field(examples=["Unprocessable Entity"])]
    status: Annotated[int, Field(examples=[422])]
    detail: Annotated[str, Field(examples=["payload.width: 0 is less than the minimum of 1"])]
    instance: Annotated[str, Field(examples=["/api/v1/tasks"])]
    error: Annotated[str, Field(examples=["Invalid request"])]
    errors: list[FieldFaultView] | None = None
    trace_id: Annotated[str | None, Field(examples=["4bf92f3577b34da6a3ce929d0e0e4736"])] = None


def describe_problems(*statuses: int) -> Responses:
    """Return the ``responses`` of an endpoint that may answer with these statuses."""
    return {status: _describe_problem(HTTPStatus(status)) for status in statuses}


def _describe_problem(status: HTTPStatus) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/ProblemView"}
    return {"description": status.phrase, "content": {MEDIA_TYPE: {"schema": schema}}}
