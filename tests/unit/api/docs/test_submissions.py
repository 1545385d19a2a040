"""The document takes what a submission takes, whatever schema a task type has published."""

import copy
from collections.abc import Mapping
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from api_clients import a_task_type
from orchestrator_api.docs.examples import find_part
from orchestrator_api.docs.submissions import SUBMIT, add_submissions
from orchestrator_api.tasks.catalogue import KnownType, compile_type

GENERAL = {
    "title": SUBMIT,
    "description": "A wish for a task.",
    "type": "object",
    "examples": [{"task_type": "A"}, {"task_type": "B"}],
    "properties": {
        "task_type": {"type": "string"},
        "payload": {"type": "object"},
        "max_attempts": {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}]},
        "timeout_seconds": {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}]},
    },
}


def a_known_type(name: str, schema: Mapping[str, object]) -> KnownType:
    return compile_type(a_task_type(name, schema))


def a_document(*types: KnownType) -> dict[str, Any]:
    document: dict[str, Any] = {"components": {"schemas": {SUBMIT: copy.deepcopy(GENERAL)}}}
    add_submissions(document, types)
    return document


def takes(document: dict[str, Any], wish: object) -> bool:
    root = {**document, "$ref": f"#/components/schemas/{SUBMIT}"}
    return Draft202012Validator(root).is_valid(wish)


def test_without_a_published_type_any_is_taken() -> None:
    assert takes(a_document(), {"task_type": "ANY"})


def test_each_type_takes_its_own_payload_and_limits() -> None:
    document = a_document(
        a_known_type("A", {"type": "object", "properties": {"n": {"type": "integer"}}}),
        a_known_type("B", {"type": "object", "properties": {"n": {"type": "string"}}}),
    )

    assert takes(document, {"task_type": "A", "payload": {"n": 1}, "max_attempts": 5})
    assert takes(document, {"task_type": "B", "payload": {"n": "1"}, "timeout_seconds": None})
    assert not takes(document, {"task_type": "A", "payload": {"n": "1"}})
    assert not takes(document, {"task_type": "A", "max_attempts": 6})
    assert not takes(document, {"task_type": "B", "timeout_seconds": 61})
    assert not takes(document, {"task_type": "C"})
    assert not takes(document, {"task_type": "A", "more": 1})


def test_a_payload_is_needed_where_none_would_be_refused() -> None:
    document = a_document(a_known_type("A", {"type": "object", "required": ["n"]}))

    assert not takes(document, {"task_type": "A"})
    assert takes(document, {"task_type": "A", "payload": {"n": 1}})


@pytest.mark.parametrize(
    "schema",
    [
        pytest.param(
            {"$defs": {"N": {"type": "integer"}}, "properties": {"n": {"$ref": "#/$defs/N"}}},
            id="definitions",
        ),
        pytest.param(
            {"properties": {"n": {"type": "integer"}, "child": {"$ref": "#"}}}, id="itself"
        ),
        pytest.param(
            {
                "properties": {"n": {"type": "integer"}, "$ref": {"type": "string"}},
                "examples": [{"$ref": "#/nowhere"}],
            },
            id="a property and an example that only look like references",
        ),
        pytest.param(
            {"properties": {"n": {"$ref": "#/properties/m"}, "m": {"type": "integer"}}},
            id="a sibling",
        ),
        pytest.param(
            {"anyOf": [{"properties": {"n": {"$ref": "#/anyOf/1/properties/n"}}}, {
                "properties": {"n": {"type": "integer"}}}]},
            id="a branch by number",
        ),
    ],
)  # fmt: skip
def test_references_of_a_schema_hold_in_the_document(schema: dict[str, object]) -> None:
    document = a_document(a_known_type("A", schema))

    assert takes(document, {"task_type": "A", "payload": {"n": 1, "child": {"n": 2}}})
    assert not takes(document, {"task_type": "A", "payload": {"n": "text"}})


@pytest.mark.parametrize(
    "schema",
    [
        {"$id": "https://example.com/a", "type": "object"},
        {"$defs": {"x": {"$anchor": "x"}}, "properties": {"n": {"$ref": "#x"}}},
    ],
)
def test_a_schema_with_an_address_of_its_own_is_left_to_the_list_of_types(
    schema: dict[str, object],
) -> None:
    document = a_document(a_known_type("A", schema))

    payload = document["components"]["schemas"]["Submit.A.payload"]
    assert payload["type"] == "object"
    assert "/api/v1/task-types" in payload["description"]


def test_names_that_no_component_may_have_are_changed_and_kept_apart() -> None:
    document = a_document(*(a_known_type(name, {}) for name in ("a/b", "a b", "ä")))

    mapping = document["components"]["schemas"][SUBMIT]["discriminator"]["mapping"]
    assert list(mapping) == ["a/b", "a b", "ä"]
    assert len(set(mapping.values())) == 3
    assert all(find_part(document, reference) for reference in mapping.values())
    assert takes(document, {"task_type": "a b"})


def test_the_examples_are_those_that_some_published_type_takes() -> None:
    document = a_document(a_known_type("B", {"type": "object"}))

    assert document["components"]["schemas"][SUBMIT]["examples"] == [{"task_type": "B"}]


def test_a_type_without_an_example_gets_one_that_it_takes() -> None:
    known = a_known_type(
        "X",
        {
            "type": "object",
            "required": ["to", "copies"],
            "properties": {
                "to": {"type": "string", "format": "email"},
                "copies": {"type": "integer", "minimum": 2},
                "note": {"type": ["string", "null"], "default": None},
            },
        },
    )

    [example] = a_document(known)["components"]["schemas"][SUBMIT]["examples"]

    assert example["task_type"] == "X"
    assert known.find_faults(example["payload"]) == []
