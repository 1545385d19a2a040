"""Entity tags (RFC 9110): whether a client has already what it asks for.

Before: an endpoint knows the tag of what it would send.
After: it sends that, or 304.
"""


def is_current(if_none_match: str | None, etag: str) -> bool:
    """Return whether the client's ``If-None-Match`` names ``etag``, compared weakly."""
    if if_none_match is None:
        return False
    candidates = (each.strip().removeprefix("W/") for each in if_none_match.split(","))
    return any(each in ("*", etag) for each in candidates)
