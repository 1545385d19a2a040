"""The W3C trace context that follows a task from request to result.

Before: the API takes a client's ``traceparent`` or makes one.
After: it is stored with the task, stands on every log line about it, and is the parent of every
span that ``spans`` makes for it.
"""

import re
import secrets

_TRACEPARENT = re.compile(r"^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$")
_LENGTH = 55
_ODD = frozenset("13579bdf")
"""The last digit of flags whose lowest bit is set: whoever began the trace keeps its spans."""


def find_trace_context(traceparent: str | None) -> str | None:
    """Return a client's ``traceparent`` if it is well formed."""
    is_good = traceparent is not None and _TRACEPARENT.match(traceparent)
    return traceparent if is_good else None


def to_trace_context(traceparent: str | None) -> str:
    """Return a client's ``traceparent`` if it is well formed, else a new one (not sampled)."""
    found = find_trace_context(traceparent)
    if found is not None:
        return found
    chance = secrets.token_hex(24)
    return f"00-{chance[:32]}-{chance[32:]}-00"


def trace_id_of(trace_context: str) -> str:
    """Return the 32 hexadecimal digits that name the trace."""
    return trace_context.split("-")[1]


def is_sampled(trace_context: str) -> bool:
    """Whether the spans of this trace are kept."""
    return len(trace_context) == _LENGTH and trace_context[-1] in _ODD
