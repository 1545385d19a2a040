"""JSON bodies: read whole, decoded strictly, then made into a model.

What Postgres could not store is refused here with the field that holds it: NUL
characters, lone surrogates, numbers beyond all bounds, nesting without end. So
nothing after this has to fear its input.

Before: ``bounds`` has counted the bytes against the limit while they came in.
After: endpoints get a frozen model.
"""

from collections.abc import Awaitable, Callable, Iterator
from typing import Annotated, TypeVar

from fastapi import Request
from pydantic import BaseModel, BeforeValidator, Field, ValidationError
from pydantic_core import from_json

from orchestrator_api.errors import FieldFault, InvalidRequestError, UnsupportedMediaTypeError
from orchestrator_api.problems import to_faults

ModelT = TypeVar("ModelT", bound=BaseModel)

MAX_VALUES = 20_000
"""10 MB of "{},{},..." make 200 MB of objects, and a schema takes 10 µs for each: a fifth of a
second for 20,000, during which nobody else is served."""


def _to_whole(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


# The bound stands first: behind the function it would not reach the schema.
WholeNumber = Annotated[int, Field(ge=1), BeforeValidator(_to_whole)]
"""1, 2, … as JSON has them: 3.0 is one too, says JSON Schema, and some languages write it so."""


def json_body(model: type[ModelT]) -> Callable[[Request], Awaitable[ModelT]]:
    """Return a dependency that reads the request's body as ``model``."""

    async def read_body(request: Request) -> ModelT:
        _require_json(request.headers.get("content-type", ""))
        value = decode_json(await request.body())
        try:
            # Strict: JSON has types, so "3" is no number and 1 is no boolean.
            return model.model_validate(value, strict=True)
        except ValidationError as error:
            raise InvalidRequestError(to_faults(error)) from None

    return read_body


def describe_body(model: type[BaseModel]) -> dict[str, object]:
    """Return what OpenAPI should say about a body that ``json_body(model)`` reads."""
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    content = {"application/json": {"schema": schema}}
    return {"requestBody": {"required": True, "content": content}}


def decode_json(body: bytes) -> object:
    """Decode UTF-8 JSON whose strings Postgres can store.

    Raises:
        InvalidRequestError: no such JSON; says where and why.
    """
    if _may_hold_more_values(body, MAX_VALUES):
        raise InvalidRequestError([FieldFault("body", f"holds more than {MAX_VALUES} values")])
    try:
        # Refuses invalid UTF-8, lone surrogates, NaN, integers of more than 4,300
        # digits and nesting deeper than 200; never a RecursionError.
        value = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise InvalidRequestError([FieldFault("body", f"not valid JSON: {error}")]) from None
    # A NUL can only come from this escape; most bodies have none and skip the walk.
    if b"\\u0000" in body:
        faults = [
            FieldFault(field, "must not hold a NUL character") for field in _find_nuls(value, "")
        ]
        if faults:
            raise InvalidRequestError(faults[:10])
    return value


def _require_json(content_type: str) -> None:
    media_type, _, parameters = content_type.partition(";")
    charset = parameters.lower().replace(" ", "").replace('"', "")
    is_json = media_type.strip().lower() == "application/json"
    if not is_json or ("charset=" in charset and "charset=utf-8" not in charset):
        raise UnsupportedMediaTypeError(
            f"expected Content-Type: application/json in UTF-8, found {content_type[:100]!r}"
        )


def _may_hold_more_values(body: bytes, limit: int) -> bool:
    """Say whether there are more than ``limit`` values, before anything is made of them.

    In one pass over the bytes per step, so that no body makes the check itself slow.
    """
    if _count_separators(body) <= limit:
        return False
    # A long text may hold as many commas: count again outside strings. With escapes
    # gone, quotes only begin and end strings, so every other part is text.
    plain = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    if plain.count(b'"') > 4 * limit:
        return True
    return _count_separators(b"".join(plain.split(b'"')[::2])) > limit


def _count_separators(text: bytes) -> int:
    return text.count(b",") + text.count(b"[") + text.count(b"{")


def _find_nuls(value: object, path: str) -> Iterator[str]:
    match value:
        case str() if "\x00" in value:
            yield path or "body"
        case list():
            for index, item in enumerate(value):
                yield from _find_nuls(item, f"{path}.{index}".lstrip("."))
        case dict():
            for key, item in value.items():
                if "\x00" in key:
                    yield path or "body"
                yield from _find_nuls(item, f"{path}.{key}".lstrip(".").replace("\x00", ""))
