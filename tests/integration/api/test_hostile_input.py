"""Whatever comes in, what goes out is a 4xx that says why; never a 500, never our insides."""

from dataclasses import replace

import httpx
import pytest

from api_clients import User, api_settings, serving
from orchestrator_api.settings import ProcessSettings

WISH = b'{"task_type":"IMAGE_RESIZE","payload":{"note":%s}}'
NUMBERS = b'{"task_type":"IMAGE_RESIZE","payload":{"numbers":[%s]}}'


async def post(
    client: httpx.AsyncClient, user: User, body: bytes, content_type: str = "application/json"
) -> httpx.Response:
    return await client.post(
        "/api/v1/tasks", content=body, headers={**user.headers, "Content-Type": content_type}
    )


@pytest.mark.parametrize(
    ("body", "field"),
    [
        pytest.param(WISH % rb'"a\u0000b"', "payload.note", id="NUL"),
        pytest.param(WISH % rb'"\ud800"', "body", id="lone surrogate"),
        pytest.param(WISH % b'"\xff\xfe"', "body", id="invalid UTF-8"),
        pytest.param(WISH % b'"cut', "body", id="cut off"),
        pytest.param(NUMBERS % b"1e999", "payload", id="infinite number"),
        pytest.param(NUMBERS % b"NaN", "body", id="NaN"),
        pytest.param(NUMBERS % (b"9" * 5_000), "body", id="5,000 digits"),
        pytest.param(NUMBERS % (b"[" * 10_000), "body", id="10,000 brackets"),
        pytest.param(b'{"a":' * 300 + b"1" + b"}" * 300, "body", id="300 objects deep"),
        pytest.param(b"", "body", id="empty"),
        pytest.param(b"null", "body", id="null"),
        pytest.param(b'"text"', "body", id="a string"),
    ],
)
async def test_a_hostile_body_is_refused_with_its_field(
    client: httpx.AsyncClient, user: User, body: bytes, field: str
) -> None:
    answer = await post(client, user, body)

    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert [fault["field"] for fault in answer.json()["errors"]] == [field]


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(NUMBERS % (b"9" * 4_000), id="4,000 digits"),
        pytest.param(NUMBERS % b"1e308, 1e-400, -0, 0.1", id="odd numbers"),
        pytest.param(WISH % rb'"\ud83d\ude00 \u2028 \\u0000 \u0001 \uffff"', id="odd characters"),
        pytest.param(WISH % (b'"' + b"x" * 1_000_000 + b'"'), id="a megabyte of text"),
        pytest.param(b'{"task_type":"X","task_type":"IMAGE_RESIZE"}', id="a name twice"),
    ],
)
async def test_an_odd_but_sound_body_is_kept_and_comes_back(
    client: httpx.AsyncClient, user: User, body: bytes
) -> None:
    answer = await post(client, user, body)

    assert answer.status_code == 201
    task = await client.get(answer.headers["location"], headers=user.headers)
    assert task.status_code == 200


@pytest.mark.parametrize("content_type", ["", "text/plain", "text/json", "multipart/form-data"])
async def test_another_content_type_is_refused(
    client: httpx.AsyncClient, user: User, content_type: str
) -> None:
    answer = await post(client, user, b'{"task_type":"IMAGE_RESIZE"}', content_type)

    assert answer.status_code == 415
    assert "expected Content-Type: application/json" in answer.json()["detail"]


async def test_a_body_over_the_limit_gets_413(process_settings: ProcessSettings) -> None:
    small = replace(process_settings, api=api_settings(ORCHESTRATOR_API_BODY_LIMIT_BYTES=1_024))
    body = b'{"username":"frank","password":"' + b"x" * 1_024 + b'"}'
    async with serving(small) as client:
        answer = await client.post(
            "/auth/register", content=body, headers={"Content-Type": "application/json"}
        )

    assert answer.status_code == 413
    assert answer.json()["error"] == "Request body too large"
    assert "1024 bytes" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/docs/page.html", 404),
        ("HEAD", "/api/v1/nothing", 404),
        ("GET", "/api/v1/nothing", 404),
        ("DELETE", "/api/v1/tasks/1", 405),
        ("GET", "/auth/login", 405),
        ("PUT", "/api/v1/tasks", 405),
    ],
)
async def test_a_wrong_door_is_a_problem_too(
    client: httpx.AsyncClient, method: str, path: str, status: int
) -> None:
    answer = await client.request(method, path)

    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert method == "HEAD" or answer.json()["error"]
    assert method == "HEAD" or answer.json()["instance"] == path


async def test_no_answer_names_the_server_or_its_parts(
    client: httpx.AsyncClient, user: User
) -> None:
    answers = [
        await post(client, user, b"{"),
        await client.get("/nothing"),
        await client.get("/health"),
    ]

    for answer in answers:
        text = f"{answer.headers} {answer.text}".lower()
        assert not any(word in text for word in ("uvicorn", "asyncpg", "traceback", "python"))
