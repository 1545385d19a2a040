"""What passes as a JSON body, and what is said about what does not."""

import json
from typing import Annotated

import pytest
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.types import Message

from orchestrator_api.bodies import decode_json, json_body
from orchestrator_api.errors import (
    FieldFault,
    InvalidRequestError,
    UnsupportedMediaTypeError,
)


class Wish(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str
    count: Annotated[int, Field(ge=1)] = 1


def a_request(body: bytes, content_type: str | None = "application/json") -> Request:
    headers = [] if content_type is None else [(b"content-type", content_type.encode())]

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return Request({"type": "http", "method": "POST", "path": "/", "headers": headers}, receive)


async def faults_of(body: bytes) -> list[FieldFault]:
    with pytest.raises(InvalidRequestError) as refusal:
        await json_body(Wish)(a_request(body))
    return list(refusal.value.faults)


async def test_a_good_body_becomes_its_model() -> None:
    wish = await json_body(Wish)(a_request(b'{"name": "x", "count": 2}'))

    assert wish == Wish(name="x", count=2)


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "application/json; charset=utf-8", 'Application/JSON;charset="UTF-8"'],
)
async def test_json_may_be_declared_in_every_usual_way(content_type: str) -> None:
    assert await json_body(Wish)(a_request(b'{"name":"x"}', content_type))


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/json; charset=utf-16",
        "application/jsonx",
    ],
)
async def test_what_is_not_declared_as_json_is_refused(content_type: str | None) -> None:
    with pytest.raises(UnsupportedMediaTypeError, match="expected Content-Type: application/json"):
        await json_body(Wish)(a_request(b'{"name":"x"}', content_type))


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"{", id="cut off"),
        pytest.param(b"not json", id="words"),
        pytest.param(b'{"name":"\xff"}', id="invalid UTF-8"),
        pytest.param(b'{"name":"\\ud800"}', id="lone surrogate"),
        pytest.param(b'{"name":"\\udc00\\ud800"}', id="surrogates in the wrong order"),
        pytest.param(b'{"name":"\x00"}', id="raw NUL"),
        pytest.param(b'{"count":NaN}', id="NaN"),
        pytest.param(b'{"count":-Infinity}', id="minus infinity"),
        pytest.param(b'{"count":' + b"9" * 5_000 + b"}", id="5,000 digits"),
        pytest.param(b"[" * 10_000, id="10,000 brackets"),
        pytest.param(b'{"a":' * 5_000 + b"1" + b"}" * 5_000, id="5,000 objects deep"),
        pytest.param(b'{"name":"x"} {"name":"y"}', id="two documents"),
        pytest.param(b'\xef\xbb\xbf{"name":"x"}', id="byte order mark"),
        pytest.param('{"name":"x"}'.encode("utf-16"), id="UTF-16"),
    ],
)
async def test_what_is_no_json_is_refused_with_the_place(body: bytes) -> None:
    faults = await faults_of(body)

    assert [fault.field for fault in faults] == ["body"]
    assert faults[0].message.startswith("not valid JSON: ")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b'{"name":"a\\u0000b"}', "name"),
        (b'{"name":"x","list":[1,{"deep":"\\u0000"}]}', "list.1.deep"),
        (b'{"a\\u0000":1}', "body"),
        (b'"\\u0000"', "body"),
    ],
)
async def test_a_nul_character_is_refused_with_its_field(body: bytes, field: str) -> None:
    faults = await faults_of(body)

    assert faults == [FieldFault(field, "must not hold a NUL character")]


def test_a_backslash_before_u0000_is_text_and_no_nul() -> None:
    assert decode_json(b'{"name":"\\\\u0000"}') == {"name": "\\u0000"}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b'{"name": 1}', "name"),
        (b'{"count": 1}', "name"),
        (b'{"name":"x","count":"1"}', "count"),
        (b'{"name":"x","count":1.0}', "count"),
        (b'{"name":"x","count":true}', "count"),
        (b'{"name":"x","count":0}', "count"),
        (b'{"name":"x","count":1e999}', "count"),
        (b'{"name":"x","cuont":1}', "cuont"),
        (b"[]", "body"),
        (b"null", "body"),
    ],
)
async def test_a_wrong_field_is_named(body: bytes, field: str) -> None:
    faults = await faults_of(body)

    assert [fault.field for fault in faults] == [field]


@pytest.mark.parametrize("value", [b"0", b"{}", b"[]", b'""', b'"x,y"', b'{"a":1}'])
def test_millions_of_small_values_are_refused_before_they_become_objects(value: bytes) -> None:
    body = b'{"list":[' + b",".join([value] * 1_000_000) + b"]}"

    with pytest.raises(InvalidRequestError, match="holds more than 20000 values"):
        decode_json(body)


@pytest.mark.parametrize("text", [",[{" * 100_000, '\\",' * 100_000, '"' * 100_000 + ","])
def test_a_long_text_may_hold_any_number_of_commas_and_brackets(text: str) -> None:
    body = json.dumps({"table": text, "rows": [1, 2, 3]}).encode()

    assert decode_json(body) == {"table": text, "rows": [1, 2, 3]}


async def test_the_refusal_never_repeats_the_value() -> None:
    faults = await faults_of(b'{"name": 12345678}')

    assert "12345678" not in faults[0].message
