"""The OpenAPI document: FastAPI's, completed.

Before: ``endpoints`` is asked for the document and has the catalogue's types.
After: clients, generators and ``/docs`` read it.
"""

import copy
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from pydantic.json_schema import models_json_schema

from orchestrator_api import errors as api
from orchestrator_api.docs.examples import add_examples
from orchestrator_api.docs.operations import (
    describe_operations,
    each_operation,
    headers_of_problem,
)
from orchestrator_api.docs.submissions import add_submissions
from orchestrator_api.errors import FieldFault
from orchestrator_api.events.streams import MEDIA_TYPE as EVENT_STREAM
from orchestrator_api.events.telling import EventView
from orchestrator_api.openapi import ProblemView
from orchestrator_api.problems import MEDIA_TYPE, to_body, to_problem
from orchestrator_api.tasks.catalogue import KnownType
from orchestrator_core import errors as core

TAGS = [
    {"name": "accounts", "description": "Register, log in, stay logged in, log out"},
    {"name": "tasks", "description": "Submit tasks, follow them, fetch what they made"},
    {"name": "files", "description": "Upload what tasks work on"},
    {"name": "events", "description": "Follow tasks as they go, over Server-Sent Events"},
    {"name": "health", "description": "For the kubelet and for people"},
]
_NO_DESCRIPTION = "Successful Response"
"""FastAPI's word for any answer that nobody described."""
_TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
_FAULT = FieldFault("payload.width", "0 is less than the minimum of 1")
_PROBLEMS: Mapping[str, tuple[core.OrchestratorError, str]] = {
    "401": (api.UnauthenticatedError("Missing access token"), "/api/v1/tasks"),
    "403": (api.NotYoursError("You can only access your own tasks"), "/api/v1/tasks/1"),
    "404": (core.TaskNotFoundError(1), "/api/v1/tasks/1"),
    "410": (api.ResultGoneError(1), "/api/v1/tasks/1/result"),
    "408": (api.BodyTooSlowError("the body did not come in time"), "/api/v1/files"),
    "409": (core.NameTakenError("johndoe"), "/auth/register"),
    "413": (api.BodyTooLargeError(10_485_760), "/api/v1/tasks"),
    "415": (
        api.UnsupportedMediaTypeError(
            "expected Content-Type: application/json in UTF-8, found 'text/plain'"
        ),
        "/api/v1/tasks",
    ),
    "416": (api.RangeNotSatisfiableError(1_234), "/api/v1/files/1"),
    "422": (api.InvalidRequestError([_FAULT]), "/api/v1/tasks"),
    "429": (api.RateLimitedError(1.0, {}), "/api/v1/tasks"),
    "503": (core.StoreUnavailableError("postgres", "connect"), "/api/v1/tasks"),
}
"""An example of each, made by the same code as the real ones."""

_SERVER_SENT_EVENT = {
    "title": "ServerSentEvent",
    "description": "One event of the stream (WHATWG HTML, section 9.2)",
    "type": "object",
    "properties": {
        "event": {"type": "string", "const": "task"},
        "id": {
            "type": "string",
            "description": "for `Last-Event-ID`",
            "examples": ["742-1-3"],
        },
        "data": {
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": {"$ref": "#/components/schemas/EventView"},
            "examples": [
                '{"task_id":1,"seq":2,"at":"2024-12-25T10:30:45Z","status":"PROCESSING",...}'
            ],
        },
    },
}
_NEW_PASSWORDS = (("Registration", "password"), ("PasswordChange", "new_password"))
"""Models and fields that the password policy judges; it is a setting, so models don't know it."""


def build_document(
    app: FastAPI, types: Sequence[KnownType], *, password_min_length: int
) -> dict[str, Any]:
    """Return the document of ``app`` while ``types`` are published."""
    document = copy.deepcopy(app.openapi())
    _, definitions = models_json_schema(
        [(ProblemView, "serialization"), (EventView, "serialization")],
        ref_template="#/components/schemas/{model}",
    )
    document["components"]["schemas"].update(definitions["$defs"])
    _add_problems(document)
    _add_events(document)
    _require_texts_of_parameters(document)
    _move_bodies(document)
    for model, field in _NEW_PASSWORDS:
        document["components"]["schemas"][model]["properties"][field]["minLength"] = (
            password_min_length
        )
    add_submissions(document, types)
    describe_operations(document)
    add_examples(document)
    return document


def _add_problems(document: dict[str, Any]) -> None:
    document["components"]["responses"] = {
        status: _describe_problem(status, *example) for status, example in _PROBLEMS.items()
    }
    for _, operation in each_operation(document):
        for status, answer in operation["responses"].items():
            if answer["description"] == _NO_DESCRIPTION:
                answer["description"] = HTTPStatus(int(status)).phrase
            if status in _PROBLEMS and MEDIA_TYPE in answer.get("content", {}):
                operation["responses"][status] = {"$ref": f"#/components/responses/{status}"}


def _describe_problem(status: str, error: core.OrchestratorError, path: str) -> dict[str, Any]:
    body = to_body(to_problem(error), path=path, trace_id=_TRACE_ID)
    return {
        "description": HTTPStatus(int(status)).phrase,
        "headers": headers_of_problem(status),
        "content": {
            MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemView"}, "example": body}
        },
    }


def _move_bodies(document: dict[str, Any]) -> None:
    """Make the bodies' schemas components: FastAPI leaves them where the endpoints wrote them."""
    schemas = document["components"]["schemas"]
    for _, operation in each_operation(document):
        content = operation.get("requestBody", {}).get("content", {})
        for media in content.values():
            schema = media.get("schema", {})
            schemas.update(schema.pop("$defs", {}))
            name = schema.get("title")
            if name is not None and schema.get("type") == "object":
                schemas[name] = schema
                media["schema"] = {"$ref": f"#/components/schemas/{name}"}


def _add_events(document: dict[str, Any]) -> None:
    """Say what an event of a stream is; FastAPI has a stream for one long string."""
    document["components"]["schemas"]["ServerSentEvent"] = _SERVER_SENT_EVENT
    for _, operation in each_operation(document):
        for answer in operation["responses"].values():
            media = answer.get("content", {}).get(EVENT_STREAM)
            if media is not None:
                media["schema"] = {"$ref": "#/components/schemas/ServerSentEvent"}


def _require_texts_of_parameters(document: dict[str, Any]) -> None:
    """Take null out of queries and headers: one can leave them out, but not say null."""
    for _, operation in each_operation(document):
        for parameter in operation.get("parameters", ()):
            schema = parameter["schema"]
            branches = [each for each in schema.get("anyOf", ()) if each != {"type": "null"}]
            if len(branches) == 1:
                del schema["anyOf"]
                schema.update(branches[0])
