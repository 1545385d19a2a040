"""What may be submitted, to the letter: one schema per published task type.

Before: ``documents`` has the general ``SubmitTask`` and the catalogue's types.
After: the document says which payload and which limits each type takes, in the
words that ``understanding`` checks a submission with.
"""

import copy
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from orchestrator_api.docs.examples import compose_example
from orchestrator_api.tasks.catalogue import KnownType

SUBMIT = "SubmitTask"
_UNFIT_FOR_NAMES = re.compile(r"[^A-Za-z0-9._-]")
_HOLD_SCHEMAS = frozenset({"properties", "patternProperties", "dependentSchemas", "$defs"})
"""Keywords whose members are schemas under names of their own."""
_HOLD_VALUES = frozenset({"const", "enum", "default", "examples"})
"""Keywords whose values are data, whatever they look like."""
_UNMOVABLE = re.compile(r'"\$(id|anchor|dynamicRef|dynamicAnchor)"')
"""Keywords that give a schema an address of its own, which it would lose in here."""


def add_submissions(document: dict[str, Any], types: Sequence[KnownType]) -> None:
    """Make ``SubmitTask`` in ``document`` a choice between the ``types``, if there are any."""
    schemas = document["components"]["schemas"]
    general = schemas.get(SUBMIT)
    if general is None or not types:
        return
    references = {}
    for index, known in enumerate(types):
        name = _to_name(known, index)
        schemas[f"{name}.payload"] = build_payload(known, f"#/components/schemas/{name}.payload")
        schemas[name] = _build_submission(general, known, name)
        references[known.published.name] = f"#/components/schemas/{name}"
    schemas[SUBMIT] = {
        "title": SUBMIT,
        "description": general["description"],
        "anyOf": [{"$ref": reference} for reference in references.values()],
        "discriminator": {"propertyName": "task_type", "mapping": references},
        "examples": _keep_accepted(general["examples"], types)
        or [schemas[_to_name(types[0], 0)]["examples"][0]],
    }


def _keep_accepted(
    examples: Sequence[dict[str, Any]], types: Sequence[KnownType]
) -> list[dict[str, Any]]:
    by_name = {known.published.name: known for known in types}
    return [
        each
        for each in examples
        if (known := by_name.get(each["task_type"])) is not None
        and not known.find_faults(each.get("payload", {}))
    ]


def build_payload(known: KnownType, address: str) -> dict[str, Any]:
    """Return the schema of a payload as it reads at ``address`` in a larger document."""
    if _UNMOVABLE.search(json.dumps(known.schema)):
        moved: dict[str, Any] = {
            "type": "object",
            "description": "GET /api/v1/task-types has the schema, which can't be shown in here.",
        }
    else:
        moved = _move(known.schema, address)
    moved.pop("$schema", None)
    moved.setdefault("title", f"Payload of {known.published.name}")
    moved["examples"] = [_find_example(known)]
    return moved


def _to_name(known: KnownType, index: int) -> str:
    # The position keeps names apart that differ only in what a component's name can't hold.
    name = _UNFIT_FOR_NAMES.sub("_", known.published.name)
    return f"Submit.{name}" if name == known.published.name else f"Submit.{name}.{index}"


def _build_submission(general: Mapping[str, Any], known: KnownType, name: str) -> dict[str, Any]:
    published = known.published
    properties = copy.deepcopy(general["properties"])
    properties["task_type"] = {"title": "Task Type", "type": "string", "const": published.name}
    properties["payload"] = {"$ref": f"#/components/schemas/{name}.payload"}
    for limit, most in (
        ("max_attempts", published.max_attempts),
        ("timeout_seconds", published.timeout_seconds),
    ):
        properties[limit]["anyOf"] = list(_bound(properties[limit]["anyOf"], most))
    example: dict[str, Any] = {"task_type": published.name}
    needs_payload = bool(known.find_faults({}))
    if needs_payload:
        example["payload"] = _find_example(known)
    return {
        "title": f"{SUBMIT}: {published.name}",
        "type": "object",
        "additionalProperties": False,
        "required": ["task_type", "payload"] if needs_payload else ["task_type"],
        "properties": properties,
        "examples": [example],
    }


def _bound(branches: Sequence[Mapping[str, Any]], most: int) -> Iterator[dict[str, Any]]:
    for branch in branches:
        yield {**branch, "maximum": most} if branch.get("type") == "integer" else dict(branch)


def _find_example(known: KnownType) -> object:
    """Return a payload that is accepted, if one is easily found."""
    candidates = [*_own_examples(known.schema), {}]
    return next((each for each in candidates if not known.find_faults(each)), candidates[0])


def _own_examples(schema: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    given = schema.get("examples")
    for each in given if isinstance(given, list) else []:
        if isinstance(each, dict):
            yield each
    try:
        composed = compose_example(schema, schema)
    except (LookupError, TypeError, ValueError):
        # It refers to what is not there; the catalogue's own check says so to whoever submits.
        return
    if isinstance(composed, dict):
        yield composed


def _move(schema: Any, address: str) -> Any:  # noqa: ANN401 - JSON
    """Return ``schema`` with its references into itself pointing to below ``address``."""
    if isinstance(schema, list):
        return [_move(each, address) for each in schema]
    if not isinstance(schema, Mapping):
        return schema
    return {key: _move_member(key, value, address) for key, value in schema.items()}


def _move_member(key: str, value: Any, address: str) -> Any:  # noqa: ANN401 - JSON
    if key == "$ref":
        return _move_reference(value, address)
    if key in _HOLD_VALUES:
        return value
    if key == "discriminator" and "mapping" in value:
        mapping = {name: _move_reference(each, address) for name, each in value["mapping"].items()}
        return {**value, "mapping": mapping}
    if key in _HOLD_SCHEMAS:
        return {name: _move(each, address) for name, each in value.items()}
    return _move(value, address)


def _move_reference(reference: str, address: str) -> str:
    return address + reference[1:] if reference.startswith("#") else reference
