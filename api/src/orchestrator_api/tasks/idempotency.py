"""Idempotency keys: what a client calls a submission, so that it may send it again.

Before: a request, perhaps with the header ``Idempotency-Key``.
After: ``submitting`` keeps the key with the tasks; what comes later under the same
key gets the same answer.
"""

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request
from pydantic import BaseModel

from orchestrator_api.accounts.identity import Caller
from orchestrator_api.errors import FieldFault, InvalidRequestError
from orchestrator_core.submissions import IdempotencyKey
from orchestrator_core.tasks import UserId

HEADER = "Idempotency-Key"
REPLAYED = {"Idempotent-Replayed": "true"}
"""On an answer that an earlier request has had already."""
_PATTERN = "^[!-~]{1,255}$"
_SHAPE = re.compile(_PATTERN)

DESCRIPTION: dict[str, Any] = {
    "parameters": [
        {
            "name": HEADER,
            "in": "header",
            "required": False,
            "description": (
                "Your name for this request. Sent again within 24 hours, it changes nothing and"
                " has the same answer; with another body it is refused."
            ),
            "schema": {"type": "string", "pattern": _PATTERN, "minLength": 1, "maxLength": 255},
            "example": "0b5cb8a4-order-1729",
        }
    ]
}
"""For ``openapi_extra``: FastAPI would read a declared header itself, for each request."""


async def read_key(request: Request) -> str | None:
    """Return the key that the client gave, if any.

    Raises:
        InvalidRequestError: it is no such key.
    """
    key = request.headers.get(HEADER)
    if key is not None and _SHAPE.fullmatch(key) is None:
        raise InvalidRequestError(
            [FieldFault(HEADER, "expected 1 to 255 visible ASCII characters without spaces")]
        )
    return key


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a wish comes from."""

    user_id: UserId
    trace_context: str
    call: str
    """Method and path: the same body means something else to another call."""
    key: str | None


async def _find_origin(
    request: Request, caller: Caller, key: Annotated[str | None, Depends(read_key)]
) -> Origin:
    return Origin(
        user_id=caller,
        trace_context=request.state.trace_context,
        # Not ``request.url``: making one costs more than all the rest here.
        call=f"{request.scope['method']} {request.scope['path']}",
        key=key,
    )


GivenOrigin = Annotated[Origin, Depends(_find_origin)]


def to_key(origin: Origin, wish: BaseModel) -> IdempotencyKey | None:
    """Return the key of ``origin`` beside a fingerprint of all that is asked for, if it has one."""
    if origin.key is None:
        return None
    # Only what the client gave: a later release's new fields must not change old fingerprints.
    asked = json.dumps(wish.model_dump(mode="json", exclude_unset=True), sort_keys=True)
    fingerprint = hashlib.sha256(f"{origin.call}\n{asked}".encode()).digest()
    return IdempotencyKey(user_id=origin.user_id, key=origin.key, fingerprint=fingerprint)


def refuse_clash() -> InvalidRequestError:
    """Return the error for a key that belongs to another request."""
    return InvalidRequestError(
        [FieldFault(HEADER, "was given to another request within 24 hours; choose a new one")]
    )
