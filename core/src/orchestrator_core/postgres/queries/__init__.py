"""Named SQL statements, one file per noun.

Each statement begins with ``-- name: verb_noun``, then one sentence that says
what it does and which index it relies on.

Before: the ``.sql`` files beside this one.
After: the stores run them by name.
"""

import re
from collections.abc import Mapping
from importlib.resources import files
from types import MappingProxyType

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


def load_statements(noun: str) -> Mapping[str, str]:
    """Return the statements of ``<noun>.sql`` by name.

    Raises:
        ValueError: a name stands twice.
    """
    text = files(__package__).joinpath(f"{noun}.sql").read_text(encoding="utf-8")
    _, *parts = _NAME.split(text)
    names, bodies = parts[0::2], parts[1::2]
    if len(set(names)) != len(names):
        raise ValueError(f"{noun}.sql names a statement twice")
    return MappingProxyType(dict(zip(names, (body.strip() for body in bodies), strict=True)))
