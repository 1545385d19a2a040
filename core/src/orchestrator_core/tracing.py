"""The W3C trace context that follows a task from request to result.

Before: the API takes a client's ``traceparent`` or makes one.
After: it is stored with the task and stands on every log line about it.
"""

import re
import secrets

_TRACEPARENT = re.compile(r"^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$")


def to_trace_context(traceparent: str | None) -> str:
    """Return a client's ``traceparent`` if it is well formed, else a new one (not sampled)."""
    if traceparent is not None and _TRACEPARENT.match(traceparent):
        return traceparent
    chance = secrets.token_hex(24)
    return f"00-{chance[:32]}-{chance[32:]}-00"


def trace_id_of(trace_context: str) -> str:
    """Return the 32 hexadecimal digits that name the trace."""
    return trace_context.split("-")[1]
