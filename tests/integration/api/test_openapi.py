"""The OpenAPI document: complete, with examples, and from this host alone."""

import json

import httpx


async def test_the_document_describes_every_endpoint_with_its_errors(
    client: httpx.AsyncClient,
) -> None:
    document = (await client.get("/openapi.json")).json()

    operations = {
        f"{method.upper()} {path}": operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }
    assert document["openapi"].startswith("3.1")
    assert sorted(operations) == [
        "GET /api/v1/task-types",
        "GET /api/v1/tasks/{task_id}",
        "GET /api/v1/tasks/{task_id}/result",
        "GET /api/v1/users/{user_id}/tasks",
        "GET /health",
        "GET /livez",
        "GET /readyz",
        "POST /api/v1/tasks",
        "POST /auth/login",
        "POST /auth/refresh",
        "POST /auth/register",
    ]
    assert set(operations["POST /api/v1/tasks"]["responses"]) == {
        "201",
        "401",
        "413",
        "415",
        "422",
        "503",
    }
    assert operations["POST /api/v1/tasks"]["security"] == [{"accessToken": []}]


async def test_every_reference_resolves_within_the_document(client: httpx.AsyncClient) -> None:
    text = (await client.get("/openapi.json")).text

    schemas = json.loads(text)["components"]["schemas"]
    names = {part.split('"')[0] for part in text.split('"#/components/schemas/')[1:]}
    assert names <= set(schemas)
    assert "http://" not in text
    assert "https://" not in text


async def test_bodies_have_examples(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()

    body = document["paths"]["/api/v1/tasks"]["post"]["requestBody"]["content"]
    assert body["application/json"]["schema"]["examples"][0] == {"task_type": "IMAGE_RESIZE"}
