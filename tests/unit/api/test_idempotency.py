"""What makes two requests the same."""

from typing import Any

import pytest
from fastapi import Request

from orchestrator_api.errors import InvalidRequestError
from orchestrator_api.tasks.idempotency import Origin, read_key, to_key
from orchestrator_api.tasks.schemas import SubmitTask
from orchestrator_core.tasks import UserId


def an_origin(**fields: Any) -> Origin:
    facts: dict[str, Any] = {
        "user_id": UserId(7),
        "trace_context": "any",
        "call": "POST /api/v1/tasks",
        "key": "order-17",
        **fields,
    }
    return Origin(**facts)


def fingerprint_of(wish: dict[str, Any], **origin: Any) -> bytes:
    model = SubmitTask.model_validate({"task_type": "resize", **wish}, strict=True)
    key = to_key(an_origin(**origin), model)
    assert key is not None
    return key.fingerprint


def a_request(*keys: str) -> Request:
    headers = [(b"idempotency-key", key.encode("latin-1")) for key in keys]
    return Request({"type": "http", "method": "POST", "path": "/", "headers": headers})


def test_without_a_key_nothing_is_named() -> None:
    assert to_key(an_origin(key=None), SubmitTask(task_type="resize")) is None


def test_a_key_belongs_to_its_user() -> None:
    key = to_key(an_origin(user_id=UserId(8)), SubmitTask(task_type="resize"))

    assert key is not None
    assert (key.user_id, key.key, len(key.fingerprint)) == (8, "order-17", 32)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (
            {"payload": {"a": 1, "b": [{"c": 2, "d": 3}]}},
            {"payload": {"b": [{"d": 3, "c": 2}], "a": 1}},
        ),
        ({"run_at": "2030-01-01T00:00:00Z"}, {"run_at": "2030-01-01t02:00:00.0+02:00"}),
    ],
)
def test_what_means_the_same_has_one_fingerprint(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    assert fingerprint_of(one) == fingerprint_of(other)


def test_the_trace_is_no_part_of_what_is_asked_for() -> None:
    assert fingerprint_of({}, trace_context="one") == fingerprint_of({}, trace_context="other")


@pytest.mark.parametrize(
    "other",
    [
        {"payload": {"a": 2}},
        {"payload": {"a": "1"}},
        {"payload": {"a": [1]}},
        {"payload": {"a": 1, "b": None}},
        {"payload": {"a": 1}, "priority": "HIGH"},
        {"payload": {"a": 1}, "task_type": "other"},
        {"payload": {"a": 1}, "run_at": "2030-01-01T00:00:00Z"},
        {},
    ],
)
def test_what_means_something_else_has_another(other: dict[str, Any]) -> None:
    assert fingerprint_of({"payload": {"a": 1}}) != fingerprint_of(other)


def test_another_call_is_something_else() -> None:
    assert fingerprint_of({}) != fingerprint_of({}, call="POST /api/v1/tasks/batch")


@pytest.mark.parametrize("key", ["a", "~" * 255, '"quoted"', "0b5cb8a4-77f1-4c57-9c3c"])
async def test_visible_ascii_is_a_key(key: str) -> None:
    assert await read_key(a_request(key)) == key


async def test_no_header_is_no_key() -> None:
    assert await read_key(a_request()) is None


@pytest.mark.parametrize("key", ["", " ", "a b", "a\n", "ä", "x" * 256, "\x7f"])
async def test_anything_else_is_refused_by_the_headers_name(key: str) -> None:
    with pytest.raises(InvalidRequestError, match="Idempotency-Key: expected 1 to 255"):
        await read_key(a_request(key))
