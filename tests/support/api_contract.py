"""The API's operations as its OpenAPI document has them, and valid requests for each.

So a test of all operations knows a new one the moment it is in the document; what it
can't fill by itself fails the test by name instead of being left out.

Before: a test has the document and what the paths may name.
After: it sends one good request per operation, or breaks it first.
"""

import json
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import httpx

from api_clients import PASSWORD, User

JSON = "application/json"
SAMPLE_BYTES = b"a little file"


@dataclass(frozen=True)
class Operation:
    """One method of one path."""

    id: str
    method: str
    path: str
    spec: Mapping[str, Any]

    @property
    def label(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def is_protected(self) -> bool:
        return bool(self.spec.get("security"))

    @property
    def takes_json(self) -> bool:
        return JSON in self.spec.get("requestBody", {}).get("content", {})


@dataclass(frozen=True)
class Call:
    """A request to send."""

    operation: Operation
    url: str
    headers: Mapping[str, str]
    content: bytes | None

    def with_headers(self, **headers: str) -> "Call":
        return replace(self, headers={**self.headers, **headers})

    def with_json(self, value: object) -> "Call":
        return replace(self, content=json.dumps(value).encode())


def each_operation(document: Mapping[str, Any]) -> Iterator[Operation]:
    """Return all operations of the document, in its order."""
    for path, methods in document["paths"].items():
        for method, spec in methods.items():
            yield Operation(spec["operationId"], method.upper(), path, spec)


def a_call(operation: Operation, names: Mapping[str, int]) -> Call:
    """Return a good request.

    Args:
        operation: to call.
        names: a value for each parameter that a path may have.
    """
    path = operation.path
    for parameter in operation.spec.get("parameters", ()):
        if parameter["in"] == "path":
            assert parameter["name"] in names, (
                f"{operation.label}: no test knows what to put for {parameter['name']!r}."
                " Teach those that call a_call to make one"
            )
            path = path.replace(f"{{{parameter['name']}}}", str(names[parameter["name"]]))
    query = "&".join(
        f"{each['name']}={each['example']}"
        for each in operation.spec.get("parameters", ())
        if each["in"] == "query" and each.get("required")
    )
    content, headers = a_body(operation)
    return Call(operation, f"{path}?{query}" if query else path, headers, content)


def a_body(operation: Operation) -> tuple[bytes | None, dict[str, str]]:
    """Return a good body and its headers."""
    content = operation.spec.get("requestBody", {}).get("content", {})
    if JSON in content:
        return json.dumps(an_example(content[JSON])).encode(), {"Content-Type": JSON}
    for media_type in content:
        concrete = "text/plain" if "*" in media_type else media_type
        return SAMPLE_BYTES, {"Content-Type": concrete}
    return None, {}


def an_example(media: Mapping[str, Any]) -> Any:
    """Return the example of a body or an answer."""
    if "examples" in media:
        return next(iter(media["examples"].values()))["value"]
    return media["example"]


@dataclass(frozen=True)
class Owner:
    """A user who has one of everything that a path may name."""

    user: User
    names: Mapping[str, int]


def sign_up(client: httpx.Client) -> User:
    """Make an account and log in."""
    name = f"user-{uuid.uuid4().hex[:12]}"
    credentials = {"username": name, "password": PASSWORD}
    registered = client.post("/auth/register", json=credentials).json()
    tokens = client.post("/auth/login", json=credentials).json()
    return User(registered["user_id"], name, tokens["access_token"], tokens["refresh_token"])


def an_owner(client: httpx.Client, operations: Iterable[Operation], *, mark: str) -> Owner:
    """Make a user with a task and a file.

    Args:
        client: of the API.
        operations: what it can do.
        mark: stands in everything that is made, so that a test can look for it.
    """
    user = sign_up(client)
    wish = {"task_type": "IMAGE_RESIZE", "payload": {"image": mark}}
    task = client.post("/api/v1/tasks", json=wish, headers=user.headers)
    assert task.status_code == 201, task.text
    names = {"user_id": user.id, "task_id": task.json()["task_id"]}
    if any("{file_id}" in operation.path for operation in operations):
        file = client.post(
            "/api/v1/files",
            params={"file_name": f"{mark}.txt"},
            content=mark.encode(),
            headers={**user.headers, "Content-Type": "text/plain"},
        )
        assert file.status_code == 201, file.text
        names["file_id"] = file.json()["id"]
    return Owner(user, names)
