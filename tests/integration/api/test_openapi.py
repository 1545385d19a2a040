"""The OpenAPI document and its page: complete, exact, with examples, from this host alone."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from jsonschema import Draft202012Validator

import services
from api_clients import RESIZE_SCHEMA, api_settings, serving
from api_contract import Operation, an_example, each_operation
from orchestrator_api.app import create_app
from orchestrator_api.docs.documents import build_document
from orchestrator_api.docs.examples import TEXT, find_part
from orchestrator_api.docs.operations import LINKS
from orchestrator_api.settings import ProcessSettings
from orchestrator_core.settings import AmqpSettings, PostgresSettings, RedisSettings

PROBES = {"GET /livez", "GET /readyz", "GET /health"}
"""Answer 503 with what is wrong, not with a problem: kubelets read no problems."""


@pytest.fixture(scope="module")
def app() -> FastAPI:
    settings = ProcessSettings(
        api=api_settings(),
        postgres=PostgresSettings(),
        redis=RedisSettings(),
        amqp=AmqpSettings(),
    )
    return create_app(settings)


@pytest.fixture(scope="module")
def document(app: FastAPI) -> dict[str, Any]:
    """As it is before any worker has published a type; the same whatever the stores do."""
    return build_document(app, [], password_min_length=8)


@pytest.fixture(scope="module")
def operations(document: dict[str, Any]) -> list[Operation]:
    return list(each_operation(document))


def each_reference(part: object) -> Iterator[str]:
    match part:
        case {"$ref": str() as reference}:
            yield reference
        case dict():
            for value in part.values():
                yield from each_reference(value)
        case list():
            for value in part:
                yield from each_reference(value)


def each_answer(
    document: Mapping[str, Any], operation: Operation
) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for status, answer in operation.spec["responses"].items():
        yield int(status), find_part(document, answer["$ref"]) if "$ref" in answer else answer


def find_faults(document: Mapping[str, Any], schema: object, value: object) -> list[str]:
    # References are from the document's root, so the schema becomes a part of one.
    root = {"components": document["components"], "allOf": [schema]}
    return [error.message for error in Draft202012Validator(root).iter_errors(value)]


def test_every_operation_has_a_name_of_its_own_a_sentence_and_a_tag(
    operations: list[Operation],
) -> None:
    names = [operation.id for operation in operations]

    assert len(set(names)) == len(names)
    for operation in operations:
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", operation.id)
        assert operation.spec["description"]
        assert operation.spec["tags"]


def test_every_route_is_an_operation_but_for_the_document_and_its_page(
    app: FastAPI, operations: list[Operation]
) -> None:
    routes = {
        f"{method} {context.path}"
        for context in iter_route_contexts(app.routes)
        for method in context.methods or ()
    }

    assert routes - {operation.label for operation in operations} == {
        "GET /docs",
        "GET /docs/{name}",
        "GET /openapi.json",
    }


def test_every_reference_resolves_within_the_document(document: dict[str, Any]) -> None:
    references = set(each_reference(document))

    assert references
    for reference in references:
        assert find_part(document, reference)


def test_every_operation_says_what_it_may_refuse_with_an_example_and_when_to_come_back(
    document: dict[str, Any], operations: list[Operation]
) -> None:
    for operation in operations:
        answers = dict(each_answer(document, operation))
        expected = {503}
        if operation.label not in PROBES:
            expected |= {429}
        if operation.is_protected:
            expected |= {401}
        if operation.takes_json:
            expected |= {408, 413, 415, 422}
        if "{" in operation.path:
            expected |= {403, 404}
        assert expected <= set(answers), operation.label
        for status, answer in answers.items():
            if status < 400 or operation.label in PROBES:
                continue
            problem = an_example(answer["content"]["application/problem+json"])
            assert problem["status"] == status
            assert problem["error"]
            assert ("Retry-After" in answer["headers"]) == (status in (429, 503))
            assert ("WWW-Authenticate" in answer["headers"]) == (status == 401)


def test_every_schema_body_and_answer_has_an_example_that_fits(
    document: dict[str, Any], operations: list[Operation]
) -> None:
    for name, schema in document["components"]["schemas"].items():
        for example in schema["examples"]:
            assert find_faults(document, {"$ref": f"#/components/schemas/{name}"}, example) == []
    for operation in operations:
        body = operation.spec.get("requestBody")
        answers = [answer for _, answer in each_answer(document, operation)]
        for holder in [body, *answers] if body else answers:
            for media_type, media in holder.get("content", {}).items():
                if media_type.endswith("json"):
                    assert find_faults(document, media["schema"], an_example(media)) == []


def test_every_text_has_an_example_that_says_something(document: dict[str, Any]) -> None:
    without = [
        f"{name}.{field}"
        for name, schema in document["components"]["schemas"].items()
        for example in schema["examples"]
        if isinstance(example, dict)
        for field, value in example.items()
        if value in (TEXT, [TEXT])
    ]

    assert without == []


def test_every_parameter_has_a_description_or_a_telling_name(
    operations: list[Operation],
) -> None:
    for operation in operations:
        for parameter in operation.spec.get("parameters", ()):
            is_id = parameter["in"] == "path" and parameter["name"].endswith("_id")
            assert is_id or parameter.get("description"), f"{operation.label}: {parameter['name']}"


def test_every_link_leads_to_an_operation_with_these_parameters(
    document: dict[str, Any], operations: list[Operation]
) -> None:
    by_id = {operation.id: operation for operation in operations}

    for source, by_status in LINKS.items():
        for status, links in by_status.items():
            assert by_id[source].spec["responses"][status]["links"].keys() == links.keys()
            for link in links.values():
                target = by_id[link["operationId"]]
                parameters = {each["name"] for each in target.spec.get("parameters", ())}
                assert set(link.get("parameters", ())) <= parameters
                assert ("requestBody" in link) <= target.takes_json
    assert document["openapi"].startswith("3.1")


def test_only_calls_without_a_user_take_no_token(operations: list[Operation]) -> None:
    open_to_all = {operation.label for operation in operations if not operation.is_protected}

    assert open_to_all == PROBES | {
        "POST /auth/register",
        "POST /auth/login",
        "POST /auth/refresh",
    }


async def test_the_document_names_what_each_published_type_takes(
    client: httpx.AsyncClient,
) -> None:
    document = (await client.get("/openapi.json")).json()

    wish = document["components"]["schemas"]["SubmitTask"]
    assert set(wish["discriminator"]["mapping"]) == {
        "IMAGE_RESIZE",
        "VIDEO_PROCESS",
        "DATA_EXPORT",
        "REPORT_GENERATE",
        "send_email",
    }
    resize = find_part(document, wish["discriminator"]["mapping"]["IMAGE_RESIZE"])
    payload = find_part(document, resize["properties"]["payload"]["$ref"])
    assert payload["properties"] == RESIZE_SCHEMA["properties"]
    assert find_faults(document, wish, {"task_type": "IMAGE_RESIZE", "payload": {"width": 0}})
    assert find_faults(document, wish, {"task_type": "IMAGE_RESIZE", "max_attempts": 6})
    assert find_faults(document, wish, {"task_type": "NO_SUCH"})
    assert not find_faults(document, wish, {"task_type": "IMAGE_RESIZE", "payload": {"width": 9}})
    assert all(find_part(document, reference) for reference in each_reference(document))


async def test_without_postgres_there_is_a_document_all_the_same(
    process_settings: ProcessSettings,
) -> None:
    nowhere = PostgresSettings(DB_HOST="127.0.0.1", DB_PORT=services.free_port())
    async with serving(replace(process_settings, postgres=nowhere)) as client:
        answer = await client.get("/openapi.json")

    assert answer.status_code == 200
    assert answer.json()["components"]["schemas"]["SubmitTask"]["properties"]["task_type"]


async def test_who_has_the_document_already_gets_304(client: httpx.AsyncClient) -> None:
    first = await client.get("/openapi.json")
    second = await client.get("/openapi.json", headers={"If-None-Match": first.headers["etag"]})

    assert second.status_code == 304
    assert second.content == b""


async def test_the_page_loads_everything_from_this_host_and_may_load_nothing_else(
    client: httpx.AsyncClient,
) -> None:
    page = await client.get("/docs")
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    answers = {path: await client.get(f"/{path}") for path in loaded}
    nothing = await client.get("/docs/page.html")

    policy = page.headers["content-security-policy"]
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "docs/swagger-ui-bundle.js" in loaded
    for path, answer in answers.items():
        assert answer.status_code == 200, path
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert nothing.status_code == 404
    # What a policy without "unsafe-inline" would block:
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\son\w+=|\sstyle=", page.text)
