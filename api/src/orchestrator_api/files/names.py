"""Names of files: which a client may give, and how one goes into a header.

A name is text for people. Nothing here or behind uses one as a path, and none can
pretend to be another: no folders, no control characters, nothing that turns the
direction of writing around.

Before: a client names its upload; a worker named a result.
After: ``receiving`` keeps the name; ``downloads`` sends it back.
"""

import re
from urllib.parse import quote

from pydantic_core import PydanticCustomError

from orchestrator_core.files import MAX_NAME_LENGTH

NAME_PATTERN = (
    r"^[^/\\\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]+$"
)
"""No separators of folders, no controls, no ends of lines, no marks of direction (Unicode's
``Bidi_Control``), no half characters. Joiners stay: Persian and some emoji need them."""
FOLDERS = (".", "..")
_SOUND = re.compile(NAME_PATTERN.replace("$", r"\Z"))
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_MAX_ENCODED_LENGTH = 1_024
"""nginx takes 4 KiB of an answer's headers by default; a name may not use them up."""
_SHORT_LENGTH = 64
"""Of a name cut off: at four bytes a character, percent-encoded, it is below the maximum."""


def require_plain_name(name: str) -> str:
    """Return ``name`` if it is a plain file name; for pydantic.

    Raises:
        PydanticCustomError: it is none; says what was expected.
    """
    if len(name) <= MAX_NAME_LENGTH and _SOUND.match(name) and name not in FOLDERS:
        return name
    raise PydanticCustomError(
        "file_name",
        "expected the name of a file: 1 to {max_length} characters, without slashes,"
        " control characters and marks of direction",
        {"max_length": MAX_NAME_LENGTH},
    )


def to_disposition(file_name: str) -> str:
    """Return a ``Content-Disposition`` that saves the file under its name, and never shows it."""
    name = _shorten(file_name)
    # RFC 6266: a plain name for all clients, the real one for those that can read it.
    plain = _UNSAFE.sub("_", name).strip("._") or "result"
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{_encode(name)}"


def _shorten(name: str) -> str:
    if len(_encode(name)) <= _MAX_ENCODED_LENGTH:
        return name
    stem, dot, suffix = name.rpartition(".")
    if not stem or len(suffix) > _SHORT_LENGTH // 4:
        return name[:_SHORT_LENGTH]
    return stem[: _SHORT_LENGTH - len(suffix) - 1] + dot + suffix


def _encode(name: str) -> str:
    return quote(name, safe="", errors="replace")
