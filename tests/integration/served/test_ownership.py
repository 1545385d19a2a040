"""Nobody reads, changes or notices what belongs to somebody else.

The operations come from the API's own document, so a new one is tried the day it is
there: one whose path names something that no test can make fails by name, and one
that names nothing must be listed here as nobody's.
"""

import uuid
from collections.abc import Mapping

import httpx
import pytest

from api_contract import Call, Operation, Owner, a_call, an_owner, sign_up

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
NOBODYS = {
    "change_password": "the caller's own account",
    "list_files": "the caller's own files",
    "list_task_types": "the same for all",
    "log_out": "the caller's own login",
    "read_me": "the caller's own account",
    "submit_batch": "makes tasks of the caller's own",
    "submit_task": "makes a task of the caller's own",
    "upload_file": "makes a file of the caller's own",
    "watch_events": "the caller's own tasks",
}
"""Protected operations whose path names no owner's thing, and whose they are."""
GARBAGE: Mapping[str, Mapping[str, str]] = {
    "no token": {},
    "no JWT": {"Authorization": "Bearer garbage"},
    "no scheme": {"Authorization": "e30.e30.e30"},
    "another scheme": {"Authorization": "Basic dXNlcjpwYXNzd29yZDEyMw=="},
    "no algorithm": {"Authorization": "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0."},
    "not ASCII": {"Authorization": "Bearer \xff\xfe"},
    "long": {"Authorization": f"Bearer {'x' * 10_000}"},
}


def send(
    client: httpx.Client, call: Call, headers: Mapping[str, str], method: str | None = None
) -> httpx.Response:
    """Send a call; of an answer without end, read only the beginning."""
    request = client.build_request(
        method or call.operation.method,
        call.url,
        content=call.content,
        headers=[
            (name.encode(), value.encode("latin-1"))
            for name, value in {**call.headers, **headers}.items()
        ],
    )
    answer = client.send(request, stream=True)
    try:
        if not answer.headers.get("content-type", "").startswith("text/event-stream"):
            answer.read()
    finally:
        answer.close()
    return answer


def is_owned(operation: Operation) -> bool:
    return "{" in operation.path


def test_every_protected_operation_names_an_owners_thing_or_is_known_as_nobodys(
    operations: list[Operation],
) -> None:
    nobodys = {each.id for each in operations if each.is_protected and not is_owned(each)}

    assert nobodys == NOBODYS.keys() & {each.id for each in operations}
    assert all(each.is_protected for each in operations if is_owned(each))


def test_a_stranger_gets_403_from_every_operation_on_what_is_somebody_elses(
    client: httpx.Client, operations: list[Operation]
) -> None:
    mark = uuid.uuid4().hex
    owner, stranger = an_owner(client, operations, mark=mark), sign_up(client)
    calls = [a_call(operation, owner.names) for operation in operations if is_owned(operation)]

    for call in calls:
        answer = send(client, call, stranger.headers)

        assert answer.status_code == 403, call.operation.label
        assert answer.headers["content-type"] == "application/problem+json"
        assert mark not in answer.text
    assert_untouched(client, owner, mark)


def test_a_stranger_gets_nowhere_with_any_method_of_any_path(
    client: httpx.Client, operations: list[Operation]
) -> None:
    mark = uuid.uuid4().hex
    owner, stranger = an_owner(client, operations, mark=mark), sign_up(client)
    calls = {a_call(each, owner.names).url: a_call(each, owner.names) for each in operations}

    for url, call in calls.items():
        known = {each.method for each in operations if each.path == call.operation.path}
        for method in METHODS:
            if not is_owned(call.operation) and method in known | {"HEAD"}:
                continue
            answer = send(client, call, stranger.headers, method)

            assert answer.status_code == (
                403 if method in known or (method == "HEAD" and "GET" in known) else 405
            ), f"{method} {url}"
    assert_untouched(client, owner, mark)


def test_what_names_nobody_shows_a_stranger_nothing_of_others(
    client: httpx.Client, operations: list[Operation]
) -> None:
    mark = uuid.uuid4().hex
    owner, stranger = an_owner(client, operations, mark=mark), sign_up(client)
    readable = [each for each in operations if each.id in NOBODYS and each.method == "GET"]

    for operation in readable:
        call = a_call(operation, {})
        answer = send(client, call, stranger.headers)
        assert answer.status_code == 200, operation.label
        if not answer.headers["content-type"].startswith("text/event-stream"):
            assert mark not in answer.text
            assert owner.user.name not in answer.text
    assert_untouched(client, owner, mark)


def test_the_owner_gets_all_that_a_stranger_does_not(
    client: httpx.Client, operations: list[Operation]
) -> None:
    owner = an_owner(client, operations, mark=uuid.uuid4().hex)
    reads = [each for each in operations if is_owned(each) and each.method == "GET"]

    statuses = {
        each.id: send(client, a_call(each, owner.names), owner.user.headers).status_code
        for each in reads
    }

    assert statuses.pop("download_result") == 404
    assert set(statuses.values()) == {200}


@pytest.mark.parametrize("kind", GARBAGE)
def test_without_a_good_token_every_protected_operation_is_401(
    client: httpx.Client, operations: list[Operation], kind: str
) -> None:
    mark = uuid.uuid4().hex
    owner = an_owner(client, operations, mark=mark)
    protected = [each for each in operations if each.is_protected]

    for operation in protected:
        answer = send(client, a_call(operation, owner.names), GARBAGE[kind])

        assert answer.status_code == 401, operation.label
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert operation.method == "HEAD" or answer.json()["error"]
        assert mark not in answer.text
    assert_untouched(client, owner, mark)


def test_a_refresh_token_opens_nothing(client: httpx.Client, operations: list[Operation]) -> None:
    owner = an_owner(client, operations, mark=uuid.uuid4().hex)
    headers = {"Authorization": f"Bearer {owner.user.refresh_token}"}

    statuses = {
        send(client, a_call(each, owner.names), headers).status_code
        for each in operations
        if each.is_protected
    }

    assert statuses == {401}


def assert_untouched(client: httpx.Client, owner: Owner, mark: str) -> None:
    """What the owner has is as it was made."""
    task = client.get(f"/api/v1/tasks/{owner.names['task_id']}", headers=owner.user.headers).json()
    assert (task["status"], task["user_id"]) == ("PENDING", owner.user.id)
    assert task["payload"] == {"image": mark}
    tasks = client.get(f"/api/v1/users/{owner.user.id}/tasks", headers=owner.user.headers).json()
    assert [each["id"] for each in tasks["tasks"]] == [owner.names["task_id"]]
    if "file_id" in owner.names:
        file = client.get(f"/api/v1/files/{owner.names['file_id']}", headers=owner.user.headers)
        assert file.text == mark
    assert client.get("/api/v1/users/me", headers=owner.user.headers).status_code == 200
