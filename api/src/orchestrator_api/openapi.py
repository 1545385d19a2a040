"""What the OpenAPI document says about errors.

Before: endpoints name the statuses they may answer with.
After: ``/openapi.json`` shows each with the shape of a problem.
"""

from http import HTTPStatus
from typing import Annotated, Any

from fastapi import FastAPI
from pydantic import BaseModel, Field
from pydantic.json_schema import models_json_schema

from orchestrator_api.problems import MEDIA_TYPE

Responses = dict[int | str, dict[str, Any]]


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


def install_openapi(app: FastAPI) -> None:
    """Make ``app`` describe its problems; built once, on the first request for it."""
    build = app.openapi

    def build_with_problems() -> dict[str, Any]:
        is_built = app.openapi_schema is not None
        document = build()
        if not is_built:
            _, definitions = models_json_schema(
                [(ProblemView, "serialization")], ref_template="#/components/schemas/{model}"
            )
            document["components"]["schemas"].update(definitions["$defs"])
        return document

    app.openapi = build_with_problems  # type: ignore[method-assign] # FastAPI's documented way
