"""What the document adds to the operations: common errors, headers, links, tags.

FastAPI knows parameters and bodies. What every call has in common, and what leads
from one call to the next, is said here once.

Before: ``documents`` has FastAPI's document.
After: each operation names all it may answer with, and where its answer leads.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

JSON = "application/json"
HEADERS: Mapping[str, dict[str, Any]] = {
    "Location": {
        "description": "Where what was made can be read",
        "required": True,
        "schema": {"type": "string", "format": "uri-reference"},
        "example": "/api/v1/tasks/1",
    },
    "ETag": {
        "description": "This state of it (RFC 9110); send it back as `If-None-Match`",
        "required": True,
        "schema": {"type": "string"},
        "example": '"1-2"',
    },
    "Link": {
        "description": 'Where the next page begins: `rel="next"` (RFC 8288); absent on the last',
        "schema": {"type": "string"},
        "example": '</api/v1/users/1/tasks?cursor=100>; rel="next"',
    },
    "Retry-After": {
        "description": "Seconds to wait before the next try",
        "required": True,
        "schema": {"type": "integer", "minimum": 0},
        "example": 2,
    },
    "WWW-Authenticate": {
        "description": "How to authenticate (RFC 6750)",
        "required": True,
        "schema": {"type": "string"},
        "example": "Bearer",
    },
    "RateLimit": {
        "description": "What is left now: `r` requests, `t` seconds until the bucket is full",
        "schema": {"type": "string"},
        "example": '"user";r=19;t=1',
    },
    "RateLimit-Policy": {
        "description": "The limit: `q` requests at once, all of them again within `w` seconds",
        "schema": {"type": "string"},
        "example": '"user";q=20;w=2',
    },
    "Idempotent-Replayed": {
        "description": "`true` when this is the answer to an earlier request with the same key",
        "schema": {"type": "string", "enum": ["true"]},
        "example": "true",
    },
    "Accept-Ranges": {
        "description": "Parts of the file can be had with `Range`",
        "required": True,
        "schema": {"type": "string"},
        "example": "bytes",
    },
    "Content-Range": {
        "description": "Which part of the file this is",
        "required": True,
        "schema": {"type": "string"},
        "example": "bytes 0-99/1234",
    },
    "Content-Disposition": {
        "description": "The file's name (RFC 6266); always an attachment",
        "required": True,
        "schema": {"type": "string"},
        "example": 'attachment; filename="photo.jpg"',
    },
}
_LIMITED = ("/api/v1/", "/auth/")
_OF_EVERY_LIMITED_ANSWER = ("RateLimit", "RateLimit-Policy")
_OF_PROBLEMS: Mapping[str, tuple[str, ...]] = {
    "401": ("WWW-Authenticate",),
    "429": ("Retry-After",),
    "503": ("Retry-After",),
    "416": ("Content-Range",),
}
_OF_DOWNLOADS = ("ETag", "Accept-Ranges", "Content-Disposition")
_OF_ANSWERS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "submit_task": {"201": ("Location", "Idempotent-Replayed")},
    "submit_batch": {"201": ("Idempotent-Replayed",)},
    "read_task": {"200": ("ETag",), "304": ("ETag",)},
    "retry_task": {"201": ("Location",)},
    "list_tasks": {"200": ("Link",)},
    "list_files": {"200": ("Link",)},
    "download_result": {
        "200": _OF_DOWNLOADS,
        "206": (*_OF_DOWNLOADS, "Content-Range"),
        "304": ("ETag",),
    },
    "upload_file": {"201": ("Location",)},
    "inspect_result": {"200": _OF_DOWNLOADS, "304": ("ETag",)},
    "download_file": {
        "200": _OF_DOWNLOADS,
        "206": (*_OF_DOWNLOADS, "Content-Range"),
        "304": ("ETag",),
    },
    "inspect_file": {"200": _OF_DOWNLOADS, "304": ("ETag",)},
}
"""Headers by operation and status."""

_TASK = {"task_id": "$response.body#/task_id"}
_FILE = {"file_id": "$response.body#/id"}
LINKS: Mapping[str, Mapping[str, Mapping[str, Mapping[str, Any]]]] = {
    "register": {
        "201": {
            "logIn": {
                "operationId": "log_in",
                "requestBody": {
                    "username": "$request.body#/username",
                    "password": "$request.body#/password",
                },
            }
        }
    },
    "log_in": {
        "200": {
            "refresh": {
                "operationId": "refresh",
                "requestBody": {"refresh_token": "$response.body#/refresh_token"},
            }
        }
    },
    "refresh": {
        "200": {
            "refreshAgain": {
                "operationId": "refresh",
                "requestBody": {"refresh_token": "$response.body#/refresh_token"},
            }
        }
    },
    "read_me": {
        "200": {
            "listTasks": {
                "operationId": "list_tasks",
                "parameters": {"user_id": "$response.body#/id"},
            }
        }
    },
    "submit_task": {
        "201": {
            "readTask": {"operationId": "read_task", "parameters": _TASK},
            "cancelTask": {"operationId": "cancel_task", "parameters": _TASK},
            "retryTask": {"operationId": "retry_task", "parameters": _TASK},
            "watchTask": {"operationId": "watch_task", "parameters": _TASK},
            "explainTask": {"operationId": "explain_task", "parameters": _TASK},
        }
    },
    "read_task": {
        "200": {
            "downloadResult": {
                "operationId": "download_result",
                "parameters": {"task_id": "$response.body#/id"},
            },
            "inspectResult": {
                "operationId": "inspect_result",
                "parameters": {"task_id": "$response.body#/id"},
            },
        }
    },
    "submit_batch": {
        "201": {
            "readFirstTask": {
                "operationId": "read_task",
                "parameters": {"task_id": "$response.body#/tasks/0/task_id"},
            }
        }
    },
    "retry_task": {
        "201": {"readTask": {"operationId": "read_task", "parameters": _TASK}},
    },
    "cancel_task": {
        "200": {
            "readTask": {
                "operationId": "read_task",
                "parameters": {"task_id": "$response.body#/id"},
            },
        }
    },
    "upload_file": {
        "201": {
            "downloadFile": {"operationId": "download_file", "parameters": _FILE},
            "inspectFile": {"operationId": "inspect_file", "parameters": _FILE},
            "deleteFile": {"operationId": "delete_file", "parameters": _FILE},
        }
    },
}
"""What an answer leads to, by operation and status."""


def describe_operations(document: dict[str, Any]) -> None:
    """Complete every operation of ``document``."""
    document["components"]["headers"] = dict(HEADERS)
    operation_ids = {operation["operationId"] for _, operation in each_operation(document)}
    for path, operation in each_operation(document):
        _add_common_problems(path, operation)
        _add_headers(path, operation)
        _add_links(operation, operation_ids)


def each_operation(document: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Return each path with each of its operations."""
    for path, methods in document["paths"].items():
        for operation in methods.values():
            yield path, operation


def _add_common_problems(path: str, operation: dict[str, Any]) -> None:
    statuses = set()
    if operation.get("security"):
        statuses |= {"401"}
    if path.startswith(_LIMITED):
        statuses |= {"429", "503"}
    if "requestBody" in operation:
        statuses |= {"408", "413", "415"}
    if JSON in operation.get("requestBody", {}).get("content", {}):
        statuses |= {"422"}
    for status in statuses:
        operation["responses"].setdefault(status, {"$ref": f"#/components/responses/{status}"})


def _add_headers(path: str, operation: dict[str, Any]) -> None:
    by_status = _OF_ANSWERS.get(operation["operationId"], {})
    for status, answer in operation["responses"].items():
        if "$ref" in answer:
            continue
        names = [*by_status.get(status, ()), *_OF_PROBLEMS.get(status, ())]
        if path.startswith(_LIMITED):
            names += _OF_EVERY_LIMITED_ANSWER
        if names:
            answer.setdefault("headers", {}).update(_refer_to(names))


def headers_of_problem(status: str) -> dict[str, dict[str, str]]:
    """Return references to the headers of a problem with this status."""
    return _refer_to([*_OF_PROBLEMS.get(status, ()), *_OF_EVERY_LIMITED_ANSWER])


def _refer_to(names: Iterable[str]) -> dict[str, dict[str, str]]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _add_links(operation: dict[str, Any], operation_ids: set[str]) -> None:
    for status, links in LINKS.get(operation["operationId"], {}).items():
        known = {
            name: dict(link) for name, link in links.items() if link["operationId"] in operation_ids
        }
        if known and status in operation["responses"]:
            operation["responses"][status]["links"] = known
