"""Examples, composed from what the schemas say about their parts.

Nobody keeps an example of a whole answer up to date, but everybody who adds a
property sees the line it stands on. So properties have examples, and those of
objects, lists and answers are made of them.

Before: ``documents`` has a document with schemas.
After: every schema and every body in it has an example.
"""

import re
from collections.abc import Mapping
from typing import Any

Schema = Mapping[str, Any]

_MAX_DEPTH = 16
"""A schema may contain itself; nobody reads an example that deep."""
_FORMATS = {
    "date-time": "2024-12-25T10:30:00Z",
    "date": "2024-12-25",
    "email": "jane@example.com",
    "uuid": "123e4567-e89b-42d3-a456-426614174000",
}
_BY_TYPE: Mapping[str, object] = {"boolean": True, "null": None, "array": [], "object": {}}
TEXT = "text"
"""What a string without any hint becomes; a test finds such strings."""


def add_examples(document: dict[str, Any]) -> None:
    """Give an example to every schema, body and answer of ``document`` that has none."""
    schemas = document["components"]["schemas"]
    for schema in schemas.values():
        # The payloads of other people's task types are theirs.
        if "examples" not in schema and "example" not in schema:
            schema["examples"] = [compose_example(schema, document)]
    for methods in document["paths"].values():
        for operation in methods.values():
            for holder in (operation.get("requestBody", {}), *operation["responses"].values()):
                for media_type, content in holder.get("content", {}).items():
                    _add_to_media(media_type, content, document)
            for parameter in operation.get("parameters", ()):
                _add_to_parameter(parameter, document)


def compose_example(schema: Schema, document: Schema, depth: int = 0) -> Any:  # noqa: ANN401 - JSON
    """Return a value that ``schema``, a part of ``document``, is meant for."""
    if depth > _MAX_DEPTH:
        return {}
    if "$ref" in schema:
        return compose_example(find_part(document, schema["$ref"]), document, depth + 1)
    for given in (
        schema.get("examples"),
        [schema.get("const", schema.get("default"))],
        schema.get("enum"),
    ):
        if given and given != [None]:
            return given[0]
    branches = [branch for key in ("anyOf", "oneOf", "allOf") for branch in schema.get(key, ())]
    if {"type": "null"} in branches:
        return None
    if branches:
        return compose_example(branches[0], document, depth + 1)
    return _compose_by_type(schema, document, depth)


def find_part(document: Schema, reference: str) -> Schema:
    """Return what ``reference``, ``#`` and a JSON pointer into ``document``, names.

    Raises:
        KeyError: there is no such part.
    """
    part: Any = document
    for step in reference.split("/")[1:]:
        part = part[int(step) if isinstance(part, list) else _unescape(step)]
    found: Schema = part
    return found


def _compose_by_type(schema: Schema, document: Schema, depth: int) -> object:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = kind[0]
    if "properties" in schema:
        return {
            name: compose_example(part, document, depth + 1)
            for name, part in schema["properties"].items()
        }
    if kind == "array" and "items" in schema:
        return [compose_example(schema["items"], document, depth + 1)]
    if kind == "string":
        return _FORMATS.get(schema.get("format", ""), TEXT)
    if kind in ("integer", "number"):
        return schema.get("minimum", schema.get("exclusiveMinimum", 0) + 1)
    return _BY_TYPE.get(str(kind), {})


def _add_to_media(media_type: str, content: dict[str, Any], document: Schema) -> None:
    if "examples" in content or "example" in content:
        return
    schema = content.get("schema")
    if schema is not None and re.search(r"[/+]json$", media_type):
        content["example"] = compose_example(schema, document)


def _add_to_parameter(parameter: dict[str, Any], document: Schema) -> None:
    if "examples" not in parameter and "example" not in parameter:
        schema = parameter["schema"]
        example = schema.get("default", compose_example(schema, document))
        # Absent and null are the same to a parameter that may be null.
        if example is not None:
            parameter["example"] = example


def _unescape(step: str) -> str:
    return step.replace("~1", "/").replace("~0", "~")
