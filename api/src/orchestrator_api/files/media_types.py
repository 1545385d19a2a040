"""Media types: what a client says its file is, and which of them are taken.

Before: ``settings`` name patterns; an upload has a ``Content-Type``.
After: the type is kept with the file, in one spelling, or the upload is refused.
"""

import re
from collections.abc import Iterable
from typing import Annotated

from pydantic import Field

OCTETS = "application/octet-stream"
_TOKEN = r"[A-Za-z0-9!#$&^_.+-]{1,127}"  # noqa: S105 - RFC 6838's restricted-name, no secret
MediaTypePattern = Annotated[
    str, Field(pattern=r"^(\*/\*|[a-z0-9!#$&^_.+-]{1,127}/(\*|[a-z0-9!#$&^_.+-]{1,127}))$")
]
"""``image/png``, ``image/*`` or ``*/*``, in lower case."""
_MEDIA_TYPE = re.compile(rf"({_TOKEN}/{_TOKEN})\s*((?:;.*)?)", re.ASCII)
_CHARSET = re.compile(r";\s*charset\s*=\s*\"?([A-Za-z0-9_.:-]{1,40})\"?\s*(?:;|\Z)", re.IGNORECASE)


def normalise_media_type(text: str) -> str | None:
    """Return a ``Content-Type`` in one spelling, with its charset and no other parameter.

    None: it is no media type.
    """
    match = _MEDIA_TYPE.fullmatch(text.strip())
    if match is None:
        return None
    essence, parameters = match.groups()
    charset = _CHARSET.search(parameters)
    return essence.lower() + (f"; charset={charset[1].lower()}" if charset else "")


def is_taken(media_type: str, patterns: Iterable[str]) -> bool:
    """Return whether one of ``patterns`` fits a normalised media type."""
    essence = media_type.partition(";")[0]
    family = essence.partition("/")[0] + "/*"
    return any(each in (essence, family, "*/*") for each in patterns)
