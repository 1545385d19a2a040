"""From pydantic models to a structural schema as Kubernetes wants it.

Pydantic writes general JSON Schema; a CRD allows a strict part of it and has
extensions of its own. This module translates: references are put in place,
``null`` is dropped (an absent field is absent), nested objects get the
default ``{}`` so that the API server fills in what is below, and each model's
rules become ``x-kubernetes-validations``.

Before: ``spec`` and ``status_model``.
After: ``crd`` puts the schemas into the CustomResourceDefinition.
"""

from typing import Any

from pydantic import BaseModel

from orchestrator_operator.rules import Rule

Schema = dict[str, Any]

KEPT_KEYWORDS = (
    "type",
    "format",
    "description",
    "default",
    "enum",
    "pattern",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "maxItems",
    "required",
    "x-kubernetes-int-or-string",
    "maxProperties",
)


def build_schema(model: type[BaseModel]) -> Schema:
    """Return the structural schema of a model: a pure function of its definition."""
    source = model.model_json_schema(by_alias=True, mode="validation")
    return _translated(source, source.get("$defs", {}), _rules_by_name(model))


def _rules_by_name(model: type[BaseModel]) -> dict[str, tuple[Rule, ...]]:
    """Return the rules of ``model`` and of every model below it, by class name."""
    found: dict[str, tuple[Rule, ...]] = {model.__name__: getattr(model, "rules", ())}
    for field in model.model_fields.values():
        for inner in _models_in(field.annotation):
            found |= _rules_by_name(inner)
    return found


def _models_in(annotation: Any) -> list[type[BaseModel]]:  # noqa: ANN401 - any annotation
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in getattr(annotation, "__args__", ()) for model in _models_in(part)]


def _translated(source: Schema, definitions: Schema, rules: dict[str, tuple[Rule, ...]]) -> Schema:
    node = _resolved(source, definitions)
    result = {key: node[key] for key in KEPT_KEYWORDS if key in node}
    if "description" in result:
        # Docstrings are wrapped for an editor; kubectl wraps for a terminal.
        result["description"] = " ".join(result["description"].split())
    if "properties" in node:
        result["properties"] = {
            name: _translated(child, definitions, rules)
            if child.get("x-absence-says-something")
            else _with_nested_default(name, _translated(child, definitions, rules), node)
            for name, child in node["properties"].items()
        }
    if "additionalProperties" in node:
        result |= _free_form(node["additionalProperties"], definitions, rules)
    if "items" in node:
        result["items"] = _translated(node["items"], definitions, rules)
        result |= _list_semantics(result["items"], result.get("maxItems", LONGEST_LIST))
    own_rules = rules.get(node.get("title", ""), ())
    if own_rules and "properties" in node:
        result["x-kubernetes-validations"] = [rule.to_schema() for rule in own_rules]
    # Neither says anything, and a default that is stored could stand in the way of a rule later.
    if result.get("default", ...) in (None, []):
        del result["default"]
    return result


def _free_form(
    values: bool | Schema,  # noqa: FBT001 - as JSON Schema has it
    definitions: Schema,
    rules: dict[str, tuple[Rule, ...]],
) -> Schema:
    """Return what says that the names of an object are the users' own."""
    if isinstance(values, bool):
        return {"x-kubernetes-preserve-unknown-fields": True}
    return {"additionalProperties": _translated(values, definitions, rules)}


def _resolved(source: Schema, definitions: Schema) -> Schema:
    """Return ``source`` with its reference followed and ``null`` removed from its choices."""
    node = dict(source)
    choices = [choice for choice in node.pop("anyOf", []) if choice.get("type") != "null"]
    # What stands beside a reference (description, default) is said of the field and wins.
    for choice in choices[:1]:
        node = {**choice, **node, "title": choice.get("title", node.get("title", ""))}
    if "$ref" in node:
        target = definitions[node.pop("$ref").removeprefix("#/$defs/")]
        return {**_resolved(target, definitions), **node, "title": target.get("title", "")}
    return node


def _with_nested_default(name: str, child: Schema, parent: Schema) -> Schema:
    """Give an object that may be left out a default, unless its absence means something.

    The default is complete: rules are checked against it as it stands, before the defaults of
    what is below are filled in.
    """
    if child.get("type") != "object":
        return child
    optional = name not in parent.get("required", ())
    has_defaults = any("default" in field for field in child.get("properties", {}).values())
    # What must be given if the object is there says that it may also not be there.
    if "default" in child or (optional and has_defaults and not child.get("required")):
        return {**child, "default": _filled(child.get("default", {}), child)}
    return child


def _filled(value: Schema, schema: Schema) -> Schema:
    """Return an object's default with the defaults of all that is below it."""
    result = dict(value)
    for name, field in schema.get("properties", {}).items():
        if name in result and field.get("type") == "object":
            result[name] = _filled(result[name], field)
        elif name not in result and "default" in field:
            result[name] = field["default"]
    return result


LONGEST_LIST = 64


def _list_semantics(items: Schema, longest: int) -> Schema:
    """Lists of named things merge by that name under server-side apply, texts by themselves."""
    for key in ("type", "name", "username"):
        if key in items.get("required", ()):
            return {
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": [key],
                "maxItems": longest,
            }
    kind = "set" if items.get("type") == "string" else "atomic"
    return {"x-kubernetes-list-type": kind, "maxItems": longest}
