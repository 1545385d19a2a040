"""Every operation of the document against what nobody should send.

Each field of each JSON body gets what no field takes; each path, query and header gets
what none expects. It answers each with a 4xx that says why.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import httpx
import pytest

from api_contract import (
    JSON,
    Call,
    Operation,
    Owner,
    a_call,
    an_owner,
)
from orchestrator_api.docs.examples import find_part
from raw_http import exchange, head
from served_api import ServedApi

PLACE = "a place for what is hostile"
NEVER_TAKEN: Mapping[str, bytes] = {
    "NUL": rb'"a\u0000b"',
    "lone surrogate": rb'"\ud800"',
    "two lone surrogates": rb'"\udfff\ud800"',
    "invalid UTF-8": b'"\xff\xfe"',
    "half a character": b'"\xc3"',
    "infinite": b"1e999",
    "not a number": b"NaN",
    "5,000 digits": b"9" * 5_000,
    "300 lists": b"[" * 300 + b"]" * 300,
    "100,000 brackets": b"[" * 100_000,
    "100,000 objects": b'{"a":' * 100_000,
    "30,000 values": b"[" + b"0," * 30_000 + b"0]",
    "a raw control character": b'"\x01"',
    "a bare word": b"undefined",
}
"""No field takes these, whatever its type."""
OF_ANOTHER_TYPE: Sequence[object] = (
    *(None, True, 0, -1, 1.5, 10**30),
    *("", "x", "\u202e\u0001\uffff", "x" * 100_000),
    *([], [[]], {}, {"x": 1}),
)
"""Most fields refuse most of these; none may break over any."""
WHOLE_BODIES = (b"", b"null", b"[]", b'"x"', b"{", b"\x00", b"\xef\xbb\xbf{}", b"\x1f\x8b\x08")
OTHER_TYPES = (
    None,
    "",
    "text/plain",
    "text/json",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "application/json; charset=utf-16",
    "application/jsonx",
    "json",
    "x" * 5_000,
)
TEXTS = (
    "",
    "abc",
    "-1",
    "0",
    "1.5",
    "9" * 5_000,
    "%00",
    "%ff",
    "%ED%A0%80",
    "1%20OR%201=1",
    "..%2f",
)
"""For paths and queries, encoded already."""
ODD_HEADERS = {
    "traceparent": ("", "garbage", "00-" + "0" * 32 + "-" + "0" * 16 + "-00", "\xff"),
    "If-None-Match": ("", "*", '"', "\xff\xfe", '"x",' * 1_000),
    "If-Range": ("", "garbage", "\xff"),
    "Range": ("", "bytes=", "bytes=9-1", "bytes=-0", "bytes=0-0,1-1", "bytes=" + "9" * 5_000 + "-"),
    "Last-Event-ID": ("", "garbage", "9" * 5_000, "-1", "1-1-1-1", "\xff"),
    "Idempotency-Key": ("", "x" * 10_000, "\xff", "a b"),
    "Accept-Encoding": ("", "gzip;q=x", "\xff"),
    "X-Forwarded-For": ("garbage", "1.2.3.4," * 1_000),
    "X-Edge-Key": ("garbage", "\xff"),
    "Content-Length": ("-1", "x", "9" * 30),
    "Transfer-Encoding": ("garbage", "chunked, chunked"),
    "Upgrade": ("websocket", "h2c"),
    "Connection": ("upgrade", "garbage"),
    "Expect": ("100-continue", "garbage"),
}


@pytest.fixture
def owner(client: httpx.Client, operations: list[Operation]) -> Owner:
    return an_owner(client, operations, mark="hostile0")


def each_field(
    document: Mapping[str, Any], schema: Any, path: tuple[str, ...] = ()
) -> Iterator[tuple[str, ...]]:
    """Return the path of every field that a body may have; of a choice, all that are in any."""
    if "$ref" in schema:
        schema = find_part(document, schema["$ref"])
    for branch in schema.get("anyOf", ()):
        yield from each_field(document, branch, path)
    if "items" in schema:
        yield (*path, "0")
        yield from each_field(document, schema["items"], (*path, "0"))
    for name, part in schema.get("properties", {}).items():
        yield (*path, name)
        yield from each_field(document, part, (*path, name))


def put(body: Any, path: Sequence[str], value: object) -> Any:
    """Return ``body`` with ``value`` at ``path``."""
    if not path:
        return value
    key, *rest = path
    if key == "0":
        first = body[0] if isinstance(body, list) and body else {}
        return [put(first, rest, value)]
    fields = body if isinstance(body, dict) else {}
    return {**fields, key: put(fields.get(key), rest, value)}


def bodies_with(document: Mapping[str, Any], operation: Operation) -> Iterator[tuple[str, Any]]:
    """Return for each field of the operation its name and a body with a place in it."""
    media = operation.spec["requestBody"]["content"][JSON]
    example = json.loads(
        a_call(operation, dict.fromkeys(("user_id", "task_id", "file_id"), 1)).content or b""
    )
    for path in sorted(set(each_field(document, media["schema"]))):
        yield ".".join(path), put(example, path, PLACE)


def send(client: httpx.Client, call: Call, owner: Owner, content: bytes) -> httpx.Response:
    return client.request(
        call.operation.method,
        call.url,
        content=content,
        headers={**call.headers, **owner.user.headers},
    )


def assert_says_why(answer: httpx.Response, case: str) -> list[dict[str, str]]:
    assert answer.status_code == 422, f"{case}: {answer.status_code} {answer.text[:500]}"
    assert answer.headers["content-type"] == "application/problem+json", case
    faults: list[dict[str, str]] = answer.json()["errors"]
    assert faults, case
    assert all(fault["field"] and fault["message"] for fault in faults), case
    return faults


@pytest.mark.parametrize("kind", NEVER_TAKEN)
def test_what_no_field_takes_is_refused_in_every_field_with_the_fields_name(
    client: httpx.Client,
    document: dict[str, Any],
    operations: list[Operation],
    owner: Owner,
    kind: str,
) -> None:
    place = json.dumps(PLACE).encode()
    for operation in (each for each in operations if each.takes_json):
        call = a_call(operation, owner.names)
        for field, body in bodies_with(document, operation):
            content = json.dumps(body).encode().replace(place, NEVER_TAKEN[kind])
            faults = assert_says_why(
                send(client, call, owner, content), f"{operation.label} {field}"
            )
            if kind == "NUL":
                assert [fault["field"] for fault in faults] == [field]


def test_what_most_fields_refuse_breaks_none(
    client: httpx.Client, document: dict[str, Any], operations: list[Operation], owner: Owner
) -> None:
    place = json.dumps(PLACE)
    for operation in (each for each in operations if each.takes_json):
        call = a_call(operation, owner.names)
        for field, body in bodies_with(document, operation):
            for value in OF_ANOTHER_TYPE:
                content = json.dumps(body).replace(place, json.dumps(value)).encode()
                answer = send(client, call, owner, content)
                case = f"{operation.label} {field}={value!r:.40}"
                assert answer.status_code < 500, f"{case}: {answer.text}"
                if answer.status_code == 422:
                    faults = assert_says_why(answer, case)
                    assert any(each["field"].startswith(field.partition(".")[0]) for each in faults)


def test_a_field_that_nobody_knows_is_named(
    client: httpx.Client, operations: list[Operation], owner: Owner
) -> None:
    for operation in (each for each in operations if each.takes_json):
        call = a_call(operation, owner.names)
        body = {**json.loads(call.content or b"{}"), "canary": 1}

        faults = assert_says_why(
            send(client, call.with_json(body), owner, json.dumps(body).encode()), operation.label
        )

        assert [fault["field"] for fault in faults] == ["canary"]


def test_a_body_that_is_no_object_is_refused(
    client: httpx.Client, operations: list[Operation], owner: Owner
) -> None:
    for operation in (each for each in operations if each.takes_json):
        for body in WHOLE_BODIES:
            faults = assert_says_why(
                send(client, a_call(operation, owner.names), owner, body),
                f"{operation.label} {body!r}",
            )
            assert [fault["field"] for fault in faults] == ["body"]


def test_a_body_of_another_type_is_refused(
    client: httpx.Client, operations: list[Operation], owner: Owner
) -> None:
    for operation in (each for each in operations if each.takes_json):
        call = a_call(operation, owner.names)
        for content_type in OTHER_TYPES:
            headers = dict(owner.user.headers)
            if content_type is not None:
                headers["Content-Type"] = content_type
            answer = client.request(
                operation.method, call.url, content=call.content, headers=headers
            )

            assert answer.status_code == 415, f"{operation.label} {content_type!r:.40}"
            assert "expected Content-Type: application/json" in answer.json()["detail"]


def test_a_path_that_names_nothing_is_not_found(
    client: httpx.Client, operations: list[Operation], owner: Owner
) -> None:
    for operation in (each for each in operations if "{" in each.path):
        for text in TEXTS:
            names = dict.fromkeys(owner.names, text)
            call = a_call(operation, names)  # type: ignore[arg-type] # what no id is
            answer = send(client, call, owner, call.content or b"")

            # What ends in a slash too many is led to the path without, as the original had it.
            assert answer.status_code in (307, 403, 404, 405), f"{operation.label} {text!r:.40}"
            is_problem = answer.headers.get("content-type") == "application/problem+json"
            assert is_problem or answer.status_code == 307


def test_an_odd_query_is_refused_by_name_or_means_something(
    client: httpx.Client, operations: list[Operation], owner: Owner
) -> None:
    for operation in operations:
        queries = [each for each in operation.spec.get("parameters", ()) if each["in"] == "query"]
        for parameter in queries:
            for text in TEXTS:
                call = a_call(operation, owner.names)
                url = f"{call.url.partition('?')[0]}?{parameter['name']}={text}"
                with client.stream(
                    operation.method,
                    url,
                    content=call.content,
                    headers={**call.headers, **owner.user.headers},
                ) as answer:
                    case = f"{operation.label} {parameter['name']}={text!r:.40}"
                    assert answer.status_code < 500, case
                    if answer.status_code == 422:
                        answer.read()
                        assert parameter["name"] in {
                            each["field"] for each in answer.json()["errors"]
                        }, case


def test_an_odd_header_breaks_nothing(
    running_api: ServedApi, operations: list[Operation], owner: Owner
) -> None:
    for operation in operations:
        call = a_call(operation, owner.names)
        if operation.id in ("log_out", "delete_file"):
            continue  # They would end what the others need; no header of theirs is special.
        for name, values in ODD_HEADERS.items():
            for value in values:
                headers = {**call.headers, **owner.user.headers, "Connection": "close", name: value}
                if name not in ("Content-Length", "Transfer-Encoding"):
                    headers["Content-Length"] = str(len(call.content or b""))
                lines = [f"{each}: {text}" for each, text in headers.items()]
                request = head(operation.method, call.url, *lines) + (call.content or b"")

                came_back = exchange(running_api.port, [request])

                assert 200 <= came_back.status < 500, f"{operation.label} {name}: {value!r:.40}"


def test_nothing_of_all_this_was_unexpected(running_api: ServedApi) -> None:
    """The last of this module: whatever came, no line of the log speaks of a fault of ours."""
    assert [line for line in running_api.lines() if line["event"] == "unexpected error"] == []
    assert running_api.process.poll() is None
